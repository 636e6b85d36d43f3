//! Handlers that share a subscription, when one of them panics, stops, or waits for something else.

mod support;

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use actix::prelude::*;
use actix_aiomsg::prelude::*;
use actix_aiomsg::supervise::{Child, ChildState, RestartPolicy, supervise};
use support::panics::print_panics_briefly;
use support::{eventually, within_patience};
use tokio::sync::Semaphore;

const MESSAGES: usize = 100;

/// What the members have handled: which member, and what.
type Handled = Vec<(u8, String)>;
type Log = Rc<RefCell<Handled>>;

/// What a member does with the message "trip", once.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Trips {
    Panics,
    Stops,
    Waits,
    Never,
}

struct Member {
    name: u8,
    socket: WeakSocket,
    log: Log,
    trips: Trips,
    gate: Rc<Semaphore>,
}

impl Actor for Member {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        let socket = self.socket.upgrade().expect("the socket is open");
        socket.subscribe_with(ctx, SubscribeOptions::default().group("members"));
    }
}

impl Handler<Received> for Member {
    type Result = ();

    fn handle(&mut self, message: Received, ctx: &mut Context<Self>) {
        let text = message.text().unwrap().to_owned();
        let trips = match &*text {
            "trip" => std::mem::replace(&mut self.trips, Trips::Never),
            _ => Trips::Never,
        };
        match trips {
            Trips::Panics => panic!("on demand"),
            Trips::Stops => ctx.stop(),
            Trips::Waits => {
                let gate = Rc::clone(&self.gate);
                let waiting = async move { drop(gate.acquire().await) };
                ctx.wait(waiting.into_actor(self));
            }
            Trips::Never => {}
        }
        self.log.borrow_mut().push((self.name, text));
    }
}

struct Group {
    server: Socket,
    client: Socket,
    log: Log,
    gate: Rc<Semaphore>,
}

impl Group {
    async fn start() -> Self {
        print_panics_briefly();
        let (server, client) = (Socket::start().unwrap(), Socket::start().unwrap());
        let endpoint = server.bind("127.0.0.1:0").await.unwrap();
        client.connect(endpoint).await.unwrap();
        let peer = client.wait_for_peers(1);
        within_patience("a peer", peer).await.unwrap();
        Self {
            server,
            client,
            log: Log::default(),
            gate: Rc::new(Semaphore::new(0)),
        }
    }

    /// A member that stays away after a panic.
    fn join(&self, name: u8, trips: Trips) -> Child<Member> {
        let (socket, log, gate) = (
            self.server.downgrade(),
            Rc::clone(&self.log),
            Rc::clone(&self.gate),
        );
        let member = move || Member {
            name,
            socket: socket.clone(),
            log: Rc::clone(&log),
            trips,
            gate: Rc::clone(&gate),
        };
        supervise(member)
            .restart(RestartPolicy::Transient)
            .backoff(Backoff::fixed(Duration::from_secs(3_600)))
            .spawn()
    }

    /// Sends "trip" and numbers, which are in one inbox, most of them in one chunk, before
    /// anybody takes them.
    async fn send(&self) {
        for n in 0..MESSAGES {
            let text = match n {
                MIDDLE => "trip".to_owned(),
                n => n.to_string(),
            };
            let sending = self.client.send(text);
            let sending = sending.guarantee(DeliveryGuarantee::AtLeastOnce);
            sending.await.unwrap();
        }
        eventually("the messages", || {
            self.server.stats().inbox_messages == MESSAGES
        })
        .await;
    }

    /// What two members handle, of whom the first trips.
    async fn handled_by_two(&self, trips: Trips) -> (Child<Member>, Child<Member>, Handled) {
        // A member makes way by the clock, too, which is not to pass before it trips.
        tokio::time::pause();
        let (first, second) = (self.join(1, trips), self.join(2, Trips::Never));
        let log = self.handled(MESSAGES).await;
        tokio::time::resume();
        (first, second, log)
    }

    async fn handled(&self, count: usize) -> Handled {
        eventually("the messages", || self.log.borrow().len() >= count).await;
        self.log.borrow().clone()
    }
}

/// The message on which the first member trips.
const MIDDLE: usize = 50;

fn in_order(log: &[(u8, String)], from: usize) -> bool {
    let expected = (from..MESSAGES).map(|n| n.to_string());
    log.iter().map(|(_, text)| text.clone()).eq(expected)
}

#[actix::test]
async fn the_rest_of_a_group_takes_over_in_the_middle_of_a_chunk_when_a_member_panics() {
    let group = Group::start().await;
    group.send().await;
    let (first, _second, log) = group.handled_by_two(Trips::Panics).await;
    assert_eq!(first.inspect().state, ChildState::BackingOff);
    assert!(log[..MIDDLE].iter().all(|(member, _)| *member == 1));
    // The message that the first one panicked on comes again before those behind it.
    assert_eq!(log[MIDDLE], (2, "trip".to_owned()));
    assert!(in_order(&log[MIDDLE + 1..], MIDDLE + 1));
    assert!(log[MIDDLE..].iter().all(|(member, _)| *member == 2));
    acknowledged(&group, MESSAGES as u64).await;
}

#[actix::test]
async fn the_rest_of_a_group_takes_over_in_the_middle_of_a_chunk_when_a_member_stops() {
    let group = Group::start().await;
    group.send().await;
    let (first, _second, log) = group.handled_by_two(Trips::Stops).await;
    within_patience("its end", first.ended()).await;
    assert_eq!(log[MIDDLE], (1, "trip".to_owned()));
    assert!(in_order(&log[MIDDLE + 1..], MIDDLE + 1));
    assert!(log[MIDDLE + 1..].iter().all(|(member, _)| *member == 2));
    acknowledged(&group, MESSAGES as u64).await;
}

#[actix::test]
async fn a_member_that_waits_for_something_else_is_given_nothing_and_holds_nobody_up() {
    let group = Group::start().await;
    group.send().await;
    let _first = group.join(1, Trips::Waits);
    let log = group.handled(MIDDLE + 1).await;
    assert_eq!(log.last(), Some(&(1, "trip".to_owned())));
    // What is behind it is for whoever comes.
    let second = group.join(2, Trips::Never);
    let log = group.handled(MESSAGES).await;
    assert!(in_order(&log[MIDDLE + 1..], MIDDLE + 1));
    assert!(log[MIDDLE + 1..].iter().all(|(member, _)| *member == 2));

    // Once it has what it waited for, it is a member as before.
    group.gate.add_permits(1);
    second.stop().await;
    group.client.send("again").await.unwrap();
    let log = group.handled(MESSAGES + 1).await;
    assert_eq!(log.last(), Some(&(1, "again".to_owned())));
}

#[actix::test]
async fn a_member_that_stands_first_in_line_and_waits_for_something_else_is_passed_over() {
    let group = Group::start().await;
    let (first, _second) = (group.join(1, Trips::Never), group.join(2, Trips::Never));
    // Both stand in line, and now the first of them does not come when it is called.
    first.addr().send(Freeze).await.unwrap();
    for n in 0..MESSAGES {
        group.client.send(n.to_string()).await.unwrap();
    }
    let log = group.handled(MESSAGES).await;
    assert!(in_order(&log, 0));
    assert!(log.iter().all(|(member, _)| *member == 2));
}

/// Makes a member wait until the gate opens.
#[derive(Message)]
#[rtype(result = "()")]
struct Freeze;

impl Handler<Freeze> for Member {
    type Result = ();

    fn handle(&mut self, _: Freeze, ctx: &mut Context<Self>) {
        let gate = Rc::clone(&self.gate);
        ctx.wait(async move { drop(gate.acquire().await) }.into_actor(self));
    }
}

async fn acknowledged(group: &Group, count: u64) {
    let acknowledged = || group.client.stats().acknowledged == count;
    eventually("the acknowledgements", acknowledged).await;
}
