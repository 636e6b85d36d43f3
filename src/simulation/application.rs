//! The applications: tasks that send, and actors that handle, fed by the real pump.

use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use actix::dev::ContextFut;
use actix::{
    Actor, ActorContext, ActorFutureExt, AsyncContext, Context, Handler, ResponseActFuture,
    WrapFuture, fut,
};
use bytes::Bytes;
use tokio::time::{sleep, timeout};

use super::executor::Owner;
use super::ledger::{Number, Route};
use super::plan::{Echo, LARGEST};
use super::socket::Life;
use super::world::World;
use crate::event::DeadLetter;
use crate::limits::{DeliveryGuarantee, SendMode};
use crate::link::Target;
use crate::payload::{AskEnvelope, AskKind};
use crate::socket::Sending;
use crate::subscription::Received;
use crate::subscription::{Bare, Dispatch, Key, Member, Pump, Receive, SubscriptionSpec};
use crate::supervise::incarnation_end::{EndCallbacks, enter};

/// Tasks of one socket that send have numbers below this; its handlers' answers have this one.
const ANSWERS: u16 = 1_000;

/// Sends messages, one after the other.
pub(super) async fn send_all(world: Rc<World>, life: Rc<Life>, task: u16) {
    let (plan, dice) = (&world.plan, &world.dice);
    if plan.load.waits_for_peers {
        let mut state = life.core.lifecycle.state();
        let peers = plan.peers_of(life.place);
        let _ = state.wait_for(|state| state.peers >= peers).await;
    }
    for index in 0..plan.load.messages {
        let number = Number {
            sender: life.owner,
            task,
            index,
            hops: plan.load.hops,
        };
        let target = match dice.percent(plan.load.named) {
            true => world
                .somebody_else(&life)
                .map_or(Target::Mode, Target::Peer),
            false => Target::Mode,
        };
        send(&world, &life, number, target).await;
        if plan.load.pause > 0 {
            sleep(Duration::from_millis(dice.between(0, plan.load.pause))).await;
        }
    }
    life.sending.set(life.sending.get() - 1);
}

/// Every third message has metadata.
fn has_metadata(number: Number) -> bool {
    number.index.is_multiple_of(3)
}

/// Sends one message, or gives up.
async fn send(world: &World, life: &Life, number: Number, target: Target) {
    let (plan, dice, core) = (&world.plan, &world.dice, &life.core);
    let publishes = target == Target::Mode && plan.send_mode == SendMode::Publish;
    let reliable = !publishes && dice.percent(plan.load.reliable);
    let mortal = dice.percent(plan.load.mortal);
    let route = match target {
        Target::Peer(_) => Route::Named,
        Target::Mode if publishes => Route::Publish,
        Target::Mode | Target::Copy | Target::Service => Route::RoundRobin,
    };
    world.ledger().offer(number, route, reliable, mortal);
    let payload = number.payload(plan.size(dice));
    let mut sending = Sending::new(&core.router, target, payload);
    if has_metadata(number) {
        sending = sending.header("number", format!("{number:?}"));
    }
    if mortal {
        sending = sending.time_to_live(Duration::from_millis(dice.between(1, 20_000)));
    }
    let patience = match dice.percent(plan.load.gives_up) {
        true => Duration::from_millis(dice.between(0, 500)),
        false => Duration::from_secs(100_000),
    };
    let taken = match reliable {
        true => timeout(patience, sending.receipt())
            .await
            .map(|taken| taken.map(Some)),
        false => timeout(patience, sending.guarantee(DeliveryGuarantee::AtMostOnce))
            .await
            .map(|taken| taken.map(|()| None)),
    };
    world.note(|| {
        let said = match &taken {
            Ok(Ok(_)) => "taken".to_owned(),
            Ok(Err(error)) => error.to_string(),
            Err(_) => "it gave up".to_owned(),
        };
        let owner = life.owner;
        format!("{owner} sends {number:?} {target:?}, reliable: {reliable}: {said}")
    });
    match taken {
        Ok(Ok(receipt)) => {
            let copies = match publishes {
                true => {
                    let links = core.router.links();
                    links.iter().filter(|link| !link.is_closed()).count()
                }
                false => 1,
            };
            world.ledger().accept(number, copies, receipt);
        }
        Ok(Err(_)) | Err(_) => world.ledger().refuse(number),
    }
}

/// A handler; `LATER` says whether it is asynchronous.
pub(super) struct App<const LATER: bool> {
    world: Rc<World>,
    life: Rc<Life>,
}

/// What a handler does about a message.
enum Deed {
    Handle,
    Panic,
    Nack(Duration),
    Reject,
    Reply,
}

impl<const LATER: bool> App<LATER> {
    fn choose(&self, number: Number) -> Deed {
        let (dice, manners) = (&self.world.dice, &self.world.plan.manners);
        if manners.echo == Echo::Replies && number.hops > 0 {
            return Deed::Reply;
        }
        if dice.percent(manners.panic) {
            return Deed::Panic;
        }
        if dice.percent(manners.nack) {
            return Deed::Nack(Duration::from_millis(dice.one_of(&[0, 0, 100])));
        }
        match (dice.percent(manners.reject), dice.percent(manners.reply)) {
            (true, _) => Deed::Reject,
            (false, true) => Deed::Reply,
            (false, false) => Deed::Handle,
        }
    }

    /// `None` for an answer to an ask of an earlier life, which comes as any message to a socket that has not asked.
    fn take(&self, received: &Received) -> Option<Number> {
        if let Some((envelope, _)) = AskEnvelope::read(received.payload()) {
            let answers = !matches!(envelope.kind, AskKind::ServiceAsk | AskKind::ServiceTell);
            assert!(answers, "{} is no service", self.life.owner);
            return None;
        }
        let number = Number::read(received.payload()).expect("all messages have one");
        let owner = self.life.owner;
        // Whoever reads no metadata gets none; whoever does, that of this message or, while its peer did not know, none.
        if let Some(header) = received.header("number") {
            assert!(self.life.core.config.read_metadata && has_metadata(number));
            assert_eq!(header, format!("{number:?}"));
            self.world.note_metadata();
        }
        self.world.note(|| format!("{owner} handles {number:?}"));
        let payload = received.payload();
        self.world.ledger().deliver(number, payload, owner);
        Some(number)
    }
}

/// A message that an asynchronous handler has; if its future is dropped, the handler has failed.
struct InHand {
    world: Rc<World>,
    by: Owner,
    number: Number,
    finished: bool,
}

impl Drop for InHand {
    fn drop(&mut self) {
        if !self.finished {
            self.world.ledger().fail(self.number, self.by);
        }
    }
}

fn act(world: &World, life: &Life, received: Received, number: Number, deed: &Deed) {
    let by = life.owner;
    let reliable = received.wants_acknowledgement();
    match deed {
        Deed::Panic => {
            world.ledger().fail(number, by);
            // Without the hook that would print it.
            std::panic::resume_unwind(Box::new("on demand"));
        }
        Deed::Nack(delay) => {
            match reliable {
                true => world.ledger().let_go(number, by),
                false => world.ledger().reject(number, by),
            }
            received.nack(*delay);
        }
        Deed::Reject => {
            world.ledger().reject(number, by);
            received.reject();
        }
        Deed::Reply => {
            reply(world, life, &received, number.hops.saturating_sub(1));
            world.ledger().finish(number, by);
        }
        Deed::Handle => world.ledger().finish(number, by),
    }
}

fn reply(world: &World, life: &Life, received: &Received, hops: u16) {
    let number = next_answer(world, life, hops);
    let reliable = life.core.config.guarantee == DeliveryGuarantee::AtLeastOnce;
    world.ledger().offer(number, Route::Named, reliable, false);
    let size = match world.plan.load.large_replies {
        true => LARGEST,
        false => world.plan.size(&world.dice),
    };
    match received.reply(number.payload(size)) {
        // Nobody has a receipt for a reply: what becomes of it is seen by its delivery.
        Ok(()) if reliable => world.ledger().accept_untold(number),
        Ok(()) => world.ledger().accept(number, 1, None),
        Err(_) => world.ledger().refuse(number),
    }
}

fn next_answer(world: &World, life: &Life, hops: u16) -> Number {
    Number {
        sender: life.owner,
        task: ANSWERS,
        index: world.next_number(),
        hops,
    }
}

impl<const LATER: bool> App<LATER>
where
    Self: Actor<Context = Context<Self>> + Handler<Received>,
    <Self as Handler<Received>>::Result: 'static,
    Receive<Bytes>: Dispatch<Self>,
{
    fn subscribe(&self) -> Pump<Self, Receive<Bytes>> {
        let core = &self.life.core;
        let key = Key::Handler {
            address: 1,
            message: "simulated",
            filter: String::new(),
        };
        let member = Member::new(1, "simulated", || true);
        let (subscription, member) = core
            .inbound
            .subscriptions
            .join(SubscriptionSpec::all(key), member);
        let in_flight = self.world.plan.manners.in_flight;
        let bare = Bare::new(core.router.stores_window());
        let receive = Receive::<Bytes>::new(core.config.codec, bare);
        Pump::new(subscription, member, in_flight, receive)
    }
}

impl Actor for App<false> {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        ctx.spawn(self.subscribe());
    }
}

impl Actor for App<true> {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        ctx.spawn(self.subscribe());
    }
}

impl Handler<Received> for App<false> {
    type Result = ();

    fn handle(&mut self, received: Received, _: &mut Context<Self>) {
        let Some(number) = self.take(&received) else {
            return;
        };
        let deed = self.choose(number);
        act(&self.world, &self.life, received, number, &deed);
    }
}

impl Handler<Received> for App<true> {
    type Result = ResponseActFuture<Self, ()>;

    fn handle(&mut self, received: Received, _: &mut Context<Self>) -> Self::Result {
        let Some(number) = self.take(&received) else {
            return Box::pin(fut::ready(()));
        };
        let (world, life) = (Rc::clone(&self.world), Rc::clone(&self.life));
        let (deed, takes) = (self.choose(number), world.plan.manners.takes.unwrap_or(0));
        let wait = world.dice.between(0, takes);
        let mut in_hand = InHand {
            world: Rc::clone(&world),
            by: life.owner,
            number,
            finished: false,
        };
        let job = async move {
            let in_hand = &mut in_hand;
            if wait > 0 {
                sleep(Duration::from_millis(wait)).await;
            }
            if world.plan.manners.echo == Echo::Awaits && number.hops > 0 {
                let answer = next_answer(&world, &life, number.hops - 1);
                send(&world, &life, answer, Target::Mode).await;
            }
            in_hand.finished = true;
            act(&world, &life, received, number, &deed);
        };
        Box::pin(job.into_actor(self).map(|(), _, _| {}))
    }
}

/// Keeps the handler of a socket alive as a supervisor does: what a panic leaves is given back,
/// then it starts anew.
pub(super) async fn supervise(world: Rc<World>, life: Rc<Life>) {
    sleep(world.plan.asleep(life.place)).await;
    loop {
        let (world, life) = (Rc::clone(&world), Rc::clone(&life));
        let ended = match world.plan.manners.takes {
            Some(_) => live(App::<true> { world, life }).await,
            None => live(App::<false> { world, life }).await,
        };
        if ended == ActorEnded::Stopped {
            return;
        }
        sleep(Duration::from_millis(30)).await;
    }
}

pub(super) async fn live<A: Actor<Context = Context<A>>>(actor: A) -> ActorEnded {
    let mut incarnation = LivingActor::of(actor);
    std::future::poll_fn(|cx| incarnation.poll(cx)).await
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum ActorEnded {
    Stopped,
    Panicked,
}

struct LivingActor<A: Actor<Context = Context<A>>> {
    at_end: Rc<EndCallbacks>,
    life: Option<ContextFut<A, Context<A>>>,
}

impl<A: Actor<Context = Context<A>>> LivingActor<A> {
    fn of(actor: A) -> Self {
        Self {
            at_end: Rc::default(),
            life: Some(Context::new().into_future(actor)),
        }
    }

    fn poll(&mut self, cx: &mut std::task::Context<'_>) -> Poll<ActorEnded> {
        let _current = enter(&self.at_end);
        let Some(life) = &mut self.life else {
            return Poll::Ready(ActorEnded::Stopped);
        };
        let polled = std::panic::AssertUnwindSafe(|| Pin::new(life).poll(cx));
        match std::panic::catch_unwind(polled) {
            Ok(polled) => polled.map(|()| ActorEnded::Stopped),
            Err(panic) if panic.downcast_ref() == Some(&"on demand") => {
                Poll::Ready(ActorEnded::Panicked)
            }
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}

impl<A: Actor<Context = Context<A>>> Drop for LivingActor<A> {
    fn drop(&mut self) {
        if let Some(mut life) = self.life.take() {
            let _current = enter(&self.at_end);
            life.ctx().terminate();
            drop(life);
        }
        self.at_end.run();
    }
}

/// Notes the dead letters of one socket.
pub(super) struct Undertaker {
    world: Rc<World>,
    owner: Owner,
}

impl Undertaker {
    /// Starts with two tasks: the actor, and what feeds it.
    pub(super) fn start(world: &Rc<World>, life: &Life) {
        let ctx: Context<Self> = Context::new();
        let recipient = ctx.address().recipient();
        let actor = Self {
            world: Rc::clone(world),
            owner: life.owner,
        };
        world.spawn(super::executor::NOBODY, ctx.into_future(actor));
        let feeding = life.core.events.feed_dead_letters(recipient);
        world.spawn(super::executor::NOBODY, feeding);
    }
}

impl Actor for Undertaker {
    type Context = Context<Self>;
}

impl Handler<DeadLetter> for Undertaker {
    type Result = ();

    fn handle(&mut self, letter: DeadLetter, _: &mut Context<Self>) {
        let owner = self.owner;
        if let Some((_, body)) = AskEnvelope::read(&letter.payload) {
            self.world
                .note(|| format!("{owner} buries {body:?}: {}", letter.reason));
            return;
        }
        self.world.note(|| {
            format!(
                "{owner} buries {:?}: {}",
                Number::read(&letter.payload),
                letter.reason
            )
        });
        self.world.ledger().bury(&letter, owner);
    }
}
