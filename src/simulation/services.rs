//! Services in the simulation: asked and told by name, while connections break and instances leave and die.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, ActorContext, ActorFutureExt, Context, Handler, WrapFuture};
use actix::{ResponseActFuture, fut};
use bytes::Bytes;
use tokio::time::{sleep, timeout};

use super::application::{ActorEnded, live};
use super::dice::Dice;
use super::ledger::Number;
use super::plan::{Plan, Shape};
use super::runs::{Scenario, simulate_all};
use super::socket::Life;
use super::world::World;
use crate::ask::{Answer, Ask, AskRequest};
use crate::clock;
use crate::connection::loopback::run_loopback;
use crate::error::{AskError, AskFailure, DecodeError, EncodeError};
use crate::payload::{Codec, Format, Payload};
use crate::services::InstanceReport;
use crate::socket::{Offer, Service};
use crate::subscription::Received;

/// What the sockets of a simulation do with a service.
#[derive(Debug, Clone, Copy)]
pub(super) struct ServicePlan {
    /// The places from the first on that offer it.
    providers: usize,
    /// Those who offer it use it, too.
    among_themselves: bool,
    messages: u32,
    /// Messages that may wait at an instance.
    max_queued: usize,
    /// Of a hundred messages: those on which the handler panics, those that it answers by a failure, and those after
    /// which it leaves for a while.
    panic: u64,
    failure: u64,
    leave: u64,
    /// How long a handler takes at most, in milliseconds.
    takes: u64,
    keyed: u64,
}

/// The tasks of a socket that use the service have numbers from this on.
const USERS: u16 = 2_000;
/// The task that asks once more when all is well has this one.
const LAST: u16 = 3_000;

/// An ask that ends later than this after its deadline has not ended by it: sockets of a simulation have their turns late.
const LATE: Duration = Duration::from_secs(2);

const SERVICE: &str = "store";

/// A message to the service, or an answer of it, by its number.
#[derive(Debug, Clone, Copy)]
struct Numbered<const KIND: u8>(Number);

const ASK: u8 = 0;
const TELL: u8 = 1;
const ANSWER: u8 = 2;

struct ByNumber;

impl<const KIND: u8> Format<Numbered<KIND>> for ByNumber {
    fn encode(value: &Numbered<KIND>, _: Codec, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        out.extend_from_slice(&value.0.payload(0));
        Ok(())
    }

    fn decode(bytes: Bytes, _: Codec) -> Result<Numbered<KIND>, DecodeError> {
        let number = Number::read(&bytes).ok_or_else(|| DecodeError::new("it is cut short"))?;
        Ok(Numbered(number))
    }
}

impl<const KIND: u8> Payload for Numbered<KIND> {
    type Format = ByNumber;
    const TOPIC: &'static str = match KIND {
        ASK => "ask ",
        TELL => "tell ",
        _ => "answer ",
    };
}

impl AskRequest for Numbered<ASK> {
    type Reply = Numbered<ANSWER>;
}

/// Starts what a life does about services.
pub(super) fn start(world: &Rc<World>, life: &Rc<Life>, plan: ServicePlan) {
    let core = Arc::clone(&life.core);
    world.spawn(life.owner, async move { core.inbound.asks.sweep().await });
    let core = Arc::clone(&life.core);
    world.spawn(life.owner, async move { core.services.run().await });
    world.spawn(life.owner, run_loopback(Arc::clone(&life.core)));
    let provides = life.place < plan.providers;
    if provides {
        world.spawn(life.owner, provide(Rc::clone(world), Rc::clone(life), plan));
    }
    if !provides || plan.among_themselves {
        for task in 0..2 {
            life.sending.set(life.sending.get() + 1);
            let using = use_service(Rc::clone(world), Rc::clone(life), USERS + task, plan);
            world.spawn(life.owner, using);
        }
    }
}

/// Offers the service, for as long as the life lasts; its actor starts anew when it has panicked or left.
async fn provide(world: Rc<World>, life: Rc<Life>, plan: ServicePlan) {
    while life.core.lifecycle.is_open() {
        let (world, life) = (Rc::clone(&world), Rc::clone(&life));
        let pause = match live(Provider { world, life, plan }).await {
            ActorEnded::Panicked => 30,
            ActorEnded::Stopped => 1_000,
        };
        sleep(Duration::from_millis(pause)).await;
    }
}

struct Provider {
    world: Rc<World>,
    life: Rc<Life>,
    plan: ServicePlan,
}

enum Deed {
    Handle,
    Fail,
    Panic,
    Leave,
}

impl Provider {
    fn choose(&self) -> Deed {
        let dice = &self.world.dice;
        if self.world.is_well() {
            return Deed::Handle;
        }
        match dice.percent(self.plan.panic) {
            true => Deed::Panic,
            false if dice.percent(self.plan.failure) => Deed::Fail,
            false if dice.percent(self.plan.leave) => Deed::Leave,
            false => Deed::Handle,
        }
    }

    fn pause(&self) -> Duration {
        Duration::from_millis(self.world.dice.between(0, self.plan.takes))
    }
}

impl Actor for Provider {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        match Offer::at(&self.life.core, SERVICE) {
            Ok(offer) => {
                let offer = offer.max_queued(self.plan.max_queued);
                offer
                    .serve::<Numbered<ASK>>(ctx)
                    .handle::<Numbered<TELL>>(ctx);
            }
            Err(_) => ctx.stop(),
        }
    }
}

impl Handler<Ask<Numbered<ASK>>> for Provider {
    type Result = ResponseActFuture<Self, Answer<Numbered<ASK>>>;

    fn handle(&mut self, ask: Ask<Numbered<ASK>>, _: &mut Context<Self>) -> Self::Result {
        let (number, owner) = (ask.0, self.life.owner);
        self.world.note(|| format!("{owner} is asked {number:?}"));
        self.world.ledger().services.handle_ask(number);
        let (deed, pause) = (self.choose(), self.pause());
        let waits = async move { sleep(pause).await };
        Box::pin(waits.into_actor(self).then(move |(), _, ctx| {
            fut::ready(match deed {
                // Without the hook that would print it.
                Deed::Panic => std::panic::resume_unwind(Box::new("on demand")),
                Deed::Fail => Err(AskFailure::new("on demand")),
                Deed::Leave => {
                    ctx.stop();
                    Ok(Numbered(number))
                }
                Deed::Handle => Ok(Numbered(number)),
            })
        }))
    }
}

impl Handler<Received<Numbered<TELL>>> for Provider {
    type Result = ResponseActFuture<Self, ()>;

    fn handle(&mut self, told: Received<Numbered<TELL>>, _: &mut Context<Self>) -> Self::Result {
        let (number, owner) = (told.0, self.life.owner);
        self.world.note(|| format!("{owner} is told {number:?}"));
        let (deed, pause) = (self.choose(), self.pause());
        let waits = async move {
            sleep(pause).await;
            told
        };
        Box::pin(waits.into_actor(self).map(move |told, this, ctx| {
            match deed {
                Deed::Panic => std::panic::resume_unwind(Box::new("on demand")),
                Deed::Fail => {
                    this.world.ledger().services.refuse_tell(number);
                    told.reject();
                    return;
                }
                Deed::Leave => ctx.stop(),
                Deed::Handle => {}
            }
            this.world.ledger().services.handle_tell(number);
        }))
    }
}

/// Asks and tells, one after the other.
async fn use_service(world: Rc<World>, life: Rc<Life>, task: u16, plan: ServicePlan) {
    for index in 0..plan.messages {
        let number = Number {
            sender: life.owner,
            task,
            index,
            hops: 0,
        };
        let service = service_of(&world, &life, plan);
        match world.dice.percent(50) {
            true => ask(&world, &life, &service, number).await,
            false => tell(&world, &life, &service, number).await,
        }
        sleep(Duration::from_millis(world.dice.between(0, 200))).await;
    }
    life.sending.set(life.sending.get() - 1);
}

fn service_of(world: &World, life: &Life, plan: ServicePlan) -> Service {
    let service = Service::at(&life.core, SERVICE);
    match world.dice.percent(plan.keyed) {
        true => service
            .keyed([world.dice.below(5) as u8])
            .rehome(Duration::from_secs(world.dice.one_of(&[0, 5]))),
        false => service,
    }
}

async fn ask(world: &World, life: &Life, service: &Service, number: Number) {
    let dice = &world.dice;
    let time = Duration::from_millis(dice.one_of(&[100, 2_000, 30_000]));
    let retries = dice.below(4) as u32;
    let mut asking = service
        .ask(&Numbered::<ASK>(number))
        .timeout(time)
        .retry(retries);
    let is_idempotent = dice.percent(50);
    if is_idempotent {
        asking = asking.idempotent();
        if dice.percent(50) {
            asking = asking.try_timeout(time / 3);
        }
    }
    if dice.percent(20) {
        asking = asking.fail_fast();
    }
    let most = if is_idempotent { 1 + retries } else { 1 };
    world.ledger().services.ask(number, most);
    let deadline = clock::now() + time;
    let answer = asking.await;
    let late = clock::now().saturating_duration_since(deadline);
    world.note(|| format!("{} asks {number:?}: {answer:?}", life.owner));
    assert!(late < LATE, "{number:?} ended {late:?} late: {answer:?}");
    match answer {
        Ok(Numbered(answered)) => {
            assert_eq!(answered, number, "it is the answer to another ask");
            world.ledger().services.answer(number);
        }
        Err(error @ (AskError::Decode(_) | AskError::Encode(_) | AskError::Send(_))) => {
            panic!("{number:?} came to {error}")
        }
        Err(_) => {}
    }
}

async fn tell(world: &World, life: &Life, service: &Service, number: Number) {
    let telling = service.tell(&Numbered::<TELL>(number)).receipt();
    world.ledger().services.tell(number);
    let patience = Duration::from_millis(world.dice.one_of(&[500, 1_000_000]));
    let taken = timeout(patience, telling).await;
    world.note(|| format!("{} tells {number:?}: {taken:?}", life.owner));
    match taken {
        Ok(Ok(receipt)) => world.ledger().services.accept(number, receipt),
        Ok(Err(_)) | Err(_) => world.ledger().services.give_up(number),
    }
}

/// The instances of the service, as a socket sees them.
pub(super) fn instances(life: &Life) -> Vec<InstanceReport> {
    Service::at(&life.core, SERVICE).instances()
}

/// Once nothing goes wrong any more, each socket that uses the service is answered.
async fn ask_once_more(world: &World) {
    let Some(plan) = world.plan.services else {
        return;
    };
    for life in world.alive() {
        if life.place < plan.providers && !plan.among_themselves {
            continue;
        }
        let number = Number {
            sender: life.owner,
            task: LAST,
            index: 0,
            hops: 0,
        };
        world.ledger().services.ask(number, 21);
        let asking = Service::at(&life.core, SERVICE)
            .ask(&Numbered::<ASK>(number))
            .timeout(Duration::from_secs(120))
            .retry(20)
            .idempotent();
        let answer = asking.await.map(|Numbered(number)| number);
        assert_eq!(answer.ok(), Some(number), "{} gets no answer", life.owner);
        world.ledger().services.answer(number);
    }
}

fn any_plan(mut plan: Plan, dice: &Dice) -> Plan {
    plan.shape = dice.one_of(&[Shape::Star, Shape::ReverseStar, Shape::Mesh]);
    plan.sockets = 2 + dice.below(4);
    // What else there is costs time, and is tried elsewhere.
    plan.load.messages = dice.one_of(&[0, 5]);
    plan.patience = Duration::from_secs(200);
    let providers = match plan.shape {
        // The others are not connected to each other.
        Shape::Star | Shape::ReverseStar => 1,
        _ => 1 + dice.below(plan.sockets),
    };
    plan.services = Some(ServicePlan {
        providers,
        among_themselves: providers == plan.sockets || dice.percent(30),
        messages: 20,
        max_queued: dice.one_of(&[1, 4, 1_000]),
        panic: dice.one_of(&[0, 0, 5]),
        failure: dice.one_of(&[0, 5]),
        leave: dice.one_of(&[0, 0, 5]),
        takes: dice.one_of(&[0, 20, 300]),
        keyed: dice.one_of(&[0, 50]),
    });
    plan
}

async fn course(world: Rc<World>) {
    world.start_all().await;
    world.go_wrong().await;
    world.rest().await;
    ask_once_more(&world).await;
    world.rest().await;
    world.end().await;
}

#[test]
fn every_ask_by_name_ends_once_and_what_is_told_is_handled() {
    simulate_all(
        "services::every_ask_by_name_ends_once_and_what_is_told_is_handled",
        150,
        Scenario::new(
            |dice| any_plan(Plan::stormy(dice), dice),
            |world| Box::pin(course(world)),
        ),
    );
}

#[test]
fn whoever_dies_asks_by_name_end_and_what_is_told_is_handled() {
    simulate_all(
        "services::whoever_dies_asks_by_name_end_and_what_is_told_is_handled",
        150,
        Scenario::new(
            |dice| any_plan(Plan::deadly(dice), dice),
            |world| Box::pin(course(world)),
        ),
    );
}
