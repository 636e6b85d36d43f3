//! A word to the user when nobody is there to connect to.

use actix::prelude::*;
use actix_aiomsg::prelude::*;

/// Says once for each endpoint that nobody answers, and why. The socket goes on trying.
pub(crate) fn tell(socket: &Socket) {
    socket.socket_events(Absence.start().recipient());
}

struct Absence;

impl Actor for Absence {
    type Context = Context<Self>;
}

impl Handler<SocketEvent> for Absence {
    type Result = ();

    fn handle(&mut self, event: SocketEvent, _: &mut Self::Context) {
        if let SocketEvent::DialFailed {
            endpoint,
            attempt: 1,
            reason,
            ..
        } = event
        {
            eprintln!("(no server at {endpoint} yet: {reason}; trying again)");
        }
    }
}
