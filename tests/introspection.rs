//! Asks about a socket itself: who is answered, with what, and that they are off by default.

mod support;

use std::collections::HashSet;

use actix::prelude::*;
use actix_aiomsg::SocketBuilder;
use actix_aiomsg::authorize::{Admission, Candidate, Inquirer};
use actix_aiomsg::prelude::*;
use futures_util::future::join_all;
use serde_json::{Value, json};
use support::actors::answer_each;
use support::within_patience;

/// A socket of this kind, and one that is connected to it.
async fn pair(builder: SocketBuilder) -> (Socket, Socket) {
    let (socket, other) = (builder.start().unwrap(), Socket::start().unwrap());
    let endpoint = socket.bind("tcp://127.0.0.1:0").await.unwrap();
    other.connect(endpoint).await.unwrap();
    within_patience("the other", other.wait_for_peers(1))
        .await
        .unwrap();
    (socket, other)
}

async fn ask(from: &Socket, topic: &str) -> Result<String, AskError> {
    let topic = topic.to_owned();
    let ask = from.ask(Whom::Any, &topic).timeout(support::PATIENCE);
    within_patience("the answer", ask).await
}

async fn json(from: &Socket, topic: &str) -> Value {
    let answer = ask(from, topic).await.unwrap();
    serde_json::from_str(&answer).unwrap_or_else(|error| panic!("{error}: {answer}"))
}

#[actix::test]
async fn without_introspection_asks_about_a_socket_go_to_handlers_as_any_other() {
    let (socket, other) = pair(Socket::builder()).await;
    answer_each(&socket, |ask| ask.to_uppercase());
    assert_eq!(ask(&other, "$aiomsg/ping").await.unwrap(), "$AIOMSG/PING");
}

#[actix::test]
async fn whoever_may_is_told_about_a_socket_and_its_figures_though_nobody_handles_asks() {
    let builder = Socket::builder().name("till").introspection(|_| true);
    let (socket, other) = pair(builder).await;
    assert_eq!(json(&other, "$aiomsg/ping").await, json!({ "pong": true }));
    // What nobody receives yet is in nobody's way.
    other.send("work").await.unwrap();
    let info = json(&other, "$aiomsg/info").await;
    assert_eq!(info["identity"], socket.identity().to_string());
    assert_eq!(
        (&info["name"], &info["phase"]),
        (&json!("till"), &json!("open"))
    );
    assert_eq!((&info["live"], &info["offers"]), (&json!(true), &json!([])));
    assert_eq!(info["version"], env!("CARGO_PKG_VERSION"));
    assert!(info["uptime"].is_u64());
    let stats = json(&other, "$aiomsg/stats").await;
    assert_eq!(
        (&stats["peers"], &stats["inbox_messages"]),
        (&json!(1), &json!(1))
    );
    let unknown = ask(&other, "$aiomsg/secrets").await;
    let known = "there are $aiomsg/ping, $aiomsg/info and $aiomsg/stats";
    assert_eq!(unknown, Err(AskError::Remote(known.to_owned())));
    // Others are handled as ever, and those are nobody's messages.
    answer_each(&socket, |ask| ask.to_uppercase());
    assert_eq!(ask(&other, "hello").await.unwrap(), "HELLO");
    let work = within_patience("the message", socket.recv()).await.unwrap();
    assert_eq!(work.payload(), "work");
    let report = socket.close().await;
    assert_eq!((report.unhandled, report.unfinished), (0, 0));
}

#[actix::test]
async fn what_a_socket_offers_is_among_it() {
    struct Clerk(WeakSocket);
    impl Actor for Clerk {
        type Context = Context<Self>;
        fn started(&mut self, ctx: &mut Self::Context) {
            let offer = self.0.offer("the \"best\" clerk").unwrap();
            offer.instance("one").unwrap().serve::<String>(ctx);
        }
    }
    impl Handler<Ask<String>> for Clerk {
        type Result = Answer<String>;
        fn handle(&mut self, _: Ask<String>, _: &mut Self::Context) -> Self::Result {
            Ok("done".to_owned())
        }
    }
    let (socket, other) = pair(Socket::builder().introspection(|_| true)).await;
    Clerk(socket.downgrade()).start();
    let clerk = other.service("the \"best\" clerk");
    within_patience("the clerk", clerk.wait_for(1))
        .await
        .unwrap();
    assert_eq!(clerk.ask(&"work".to_owned()).await.unwrap(), "done");
    let info = json(&other, "$aiomsg/info").await;
    let expected =
        json!([{ "service": "the \"best\" clerk", "instance": "one", "waiting": 0, "refused": 0 }]);
    assert_eq!(info["offers"], expected);
}

#[actix::test]
async fn others_are_told_that_it_is_not_allowed() {
    let operators = |inquirer: &Inquirer<'_>| inquirer.principal::<&str>() == Some(&"operator");
    let ops = Identity::from_bytes([7; 16]);
    let admit = move |candidate: Candidate| async move {
        match candidate.identity == ops {
            true => Admission::admit().with_principal("operator"),
            false => Admission::admit(),
        }
    };
    let builder = Socket::builder().authorize(admit).introspection(operators);
    let (socket, other) = pair(builder).await;
    let refused = Err(AskError::Remote("the peer does not allow it".to_owned()));
    for topic in ["$aiomsg/ping", "$aiomsg/info", "$aiomsg/nothing"] {
        assert_eq!(ask(&other, topic).await, refused);
    }
    let operator = Socket::builder().identity(ops).start().unwrap();
    let endpoint = socket.bind("tcp://127.0.0.1:0").await.unwrap();
    operator.connect(endpoint).await.unwrap();
    assert_eq!(json(&operator, "$aiomsg/ping").await["pong"], true);
}

#[actix::test]
async fn more_than_a_hundred_a_second_are_busy() {
    let (_socket, other) = pair(Socket::builder().introspection(|_| true)).await;
    let asks = (0..1_000).map(|_| ask(&other, "$aiomsg/ping"));
    let began = std::time::Instant::now();
    let answers = join_all(asks).await;
    let seconds = began.elapsed().as_secs_f64();
    let answered = answers.iter().filter(|answer| answer.is_ok()).count();
    let others: HashSet<_> = (answers.into_iter().filter_map(Result::err))
        .map(|error| error.to_string())
        .collect();
    assert!(answered >= 100, "{answered}");
    assert!(
        answered as f64 <= 101.0 + 100.0 * seconds,
        "{answered} in {seconds}"
    );
    if seconds < 8.0 {
        assert_eq!(others, HashSet::from([AskError::Busy.to_string()]));
    }
}
