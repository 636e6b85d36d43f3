//! The README's supervised program, over months: its clock moves only when everyone waits, its socket is real.

mod actors;

use std::time::Duration;

use actix::prelude::*;
use actix_aiomsg::prelude::*;
use actix_aiomsg::supervise::EscalationReason;

const MAX_RESTARTS: u32 = 5;
const WINDOW: Duration = Duration::from_secs(10);

/// As in `examples/first_supervised.rs`.
struct Jobs(WeakSocket);

impl Actor for Jobs {
    type Context = Context<Self>;
    fn started(&mut self, ctx: &mut Self::Context) {
        self.0.subscribe(ctx);
    }
}

impl Handler<Received> for Jobs {
    type Result = ();
    fn handle(&mut self, job: Received, _: &mut Self::Context) {
        assert_ne!(job.text(), Ok("bad"), "a bad job");
        job.reply("done").expect("there is room for an answer");
    }
}

/// A bad job, and a good one that is answered after the restart.
async fn panics_and_goes_on(client: &Socket) {
    client.send("bad").await.unwrap();
    client.send("good").await.unwrap();
    let answer = client.recv().await.unwrap();
    assert_eq!(answer.text(), Ok("done"));
}

#[test]
fn a_thousand_panics_spread_over_time_are_survived_without_an_address_and_a_burst_is_not() {
    actors::run_paused(async {
        let socket = Socket::start().unwrap();
        let endpoint = socket.bind("tcp://127.0.0.1:0").await.unwrap();
        let jobs = socket.downgrade();
        let (told, escalation) = actors::tell();
        let addr = supervise(move || Jobs(jobs.clone()))
            .intensity(MAX_RESTARTS, WINDOW)
            .on_escalate(told)
            .start();
        drop(addr);
        let client = Socket::start().unwrap();
        client.connect(endpoint).await.unwrap();
        for _ in 0..1_000 {
            panics_and_goes_on(&client).await;
            actix::clock::sleep(WINDOW / 4).await;
        }
        // A life as long as the window begins the backoff anew, so that a burst fits into it.
        actix::clock::sleep(2 * WINDOW).await;
        for _ in 0..MAX_RESTARTS {
            panics_and_goes_on(&client).await;
        }
        client.send("bad").await.unwrap();
        let escalation = escalation.await.unwrap();
        let expected = EscalationReason::TooManyRestarts {
            max_restarts: MAX_RESTARTS,
            window: WINDOW,
        };
        assert_eq!(escalation.reason(), expected);
        assert_eq!(escalation.panic().unwrap().restarts(), 1_005);
        assert_eq!(client.stats().joins, 1, "over one connection all the while");
    });
}
