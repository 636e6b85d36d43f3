//! A program whose supervision gives up ends with status 1, whatever its `main` waits for.

mod support;

use std::future::pending;
use std::pin::pin;
use std::time::Duration;

use actix::prelude::*;
use actix_aiomsg::health::Unready;
use actix_aiomsg::prelude::*;
use actix_aiomsg::relay::Relay;
use actix_aiomsg::supervise::{Backoff, Child, Supervise, SupervisionTree, supervise};
use support::again;
use support::process::Process;
use support::{eventually, within_patience};

/// An actor that cannot be kept alive, once it is told so.
struct Hopeless;

impl Actor for Hopeless {
    type Context = Context<Self>;
}

#[derive(Message)]
#[rtype(result = "()")]
struct Fail;

impl Handler<Fail> for Hopeless {
    type Result = ();
    fn handle(&mut self, _: Fail, _: &mut Self::Context) {
        panic!("on demand");
    }
}

fn described() -> Supervise<Hopeless, impl FnMut() -> Hopeless> {
    supervise(|| Hopeless)
        .intensity(0, Duration::from_secs(1))
        .backoff(Backoff::fixed(Duration::ZERO))
}

/// Starts an actor and makes it fail for good.
fn give_up() -> Child<Hopeless> {
    let child = described().spawn();
    child.addr().do_send(Fail);
    child
}

fn log_to_stderr() {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .init();
}

/// Plays the part of a program: the harness of the tests stands for nothing in it.
fn program(main: impl Future<Output = Result<(), Box<dyn std::error::Error>>>) -> ! {
    log_to_stderr();
    let ended = System::new().block_on(main);
    std::process::exit(match ended {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("main ended: {error}");
            3
        }
    })
}

/// Expects that a program ends with this status, and names the actor that was given up in an ERROR line.
async fn ends_with(mut child: Process, status: i32, named: &str) -> String {
    let told = child.complaint().await;
    assert_eq!(child.exit().await.code(), Some(status), "{told}");
    let error = |line: &&str| line.contains("ERROR") && line.contains("supervision gave up");
    let line = told.lines().find(error);
    let line = line.unwrap_or_else(|| panic!("no ERROR line: {told}"));
    assert!(line.contains(named), "{line}");
    told
}

/// Runs the parts of a test: a child plays one and does not return, the parent looks at how it ends.
macro_rules! ends {
    ($test:ident, $status:expr, $named:expr, $main:expr) => {
        #[test]
        fn $test() {
            if again::part().is_some() {
                program($main);
            }
            let child = again::start(stringify!($test), "program");
            System::new().block_on(async {
                ends_with(child, $status, $named).await;
            });
        }
    };
}

ends!(
    a_main_that_waits_for_ever_ends_without_a_socket,
    1,
    "Hopeless",
    async {
        give_up();
        pending().await
    }
);

ends!(
    a_program_whose_answer_to_the_failure_panics_ends_as_without_one,
    1,
    "Hopeless",
    async {
        let child = described().on_escalate(|_| panic!("on demand")).spawn();
        child.addr().do_send(Fail);
        pending().await
    }
);

ends!(
    a_main_that_waits_for_ever_ends_with_a_tree,
    1,
    "inner",
    async {
        let mut inner = SupervisionTree::one_for_one()
            .name("inner")
            .intensity(0, Duration::from_secs(1));
        let addr = inner.child(described());
        let mut outer = SupervisionTree::one_for_all()
            .name("outer")
            .intensity(0, Duration::from_secs(1));
        outer.nest(inner);
        let _tree = outer.start();
        addr.do_send(Fail);
        pending().await
    }
);

ends!(a_main_that_receives_ends, 1, "Hopeless", async {
    let socket = Socket::start()?;
    socket.bind("127.0.0.1:0").await?;
    give_up();
    while socket.recv().await.is_ok() {}
    Ok(())
});

ends!(
    a_main_that_runs_until_a_signal_gets_the_error,
    3,
    "Hopeless",
    async {
        let socket = Socket::start()?;
        socket.bind("127.0.0.1:0").await?;
        give_up();
        let drain = Drain::within(Duration::from_secs(10));
        socket.run_until_signal(drain).await?;
        Ok(())
    }
);

ends!(
    a_main_that_runs_a_relay_until_a_signal_gets_the_error_when_the_back_has_delivered,
    3,
    "Hopeless",
    async {
        let (front, back) = (Socket::start()?, Socket::start()?);
        let relay = Relay::new(&front, &back).start()?;
        let from = Socket::start()?;
        from.connect(front.bind("127.0.0.1:0").await?).await?;
        let name = format!("relay-end-{}", from.identity());
        let place = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        let place = format!("unix://{}", place.display());
        back.connect(&place).await?;
        from.send("work").await?;
        eventually("the message to wait", || back.stats().outbox_messages == 1).await;
        give_up();
        // Of another program, which comes when this one ends already.
        let other = std::thread::spawn(move || {
            System::new().block_on(async {
                eventually("the end", || !front.health().is_ready()).await;
                let to = Socket::start().expect("a socket");
                to.bind(&place).await.expect("a new path");
                let message = within_patience("the message", to.recv()).await;
                assert_eq!(message.expect("it is open").payload(), "work");
            });
        });
        let drain = Drain::within(Duration::from_secs(20));
        let ended = relay.run_until_signal(drain).await;
        assert_eq!(back.stats().outbox_messages, 0);
        other.join().expect("the message has come");
        ended?;
        Ok(())
    }
);

ends!(a_main_that_serves_http_ends, 1, "Hopeless", async {
    let server = actix_web::HttpServer::new(actix_web::App::new)
        .workers(1)
        .bind("127.0.0.1:0")?
        .run();
    give_up();
    server.await?;
    Ok(())
});

ends!(a_main_that_blocks_its_thread_ends, 1, "Hopeless", async {
    let elsewhere = Arbiter::new();
    let addr = described().start_in_arbiter(&elsewhere.handle());
    addr.do_send(Fail);
    std::thread::sleep(Duration::from_secs(3_600));
    Ok(())
});

ends!(
    a_main_that_does_not_notice_that_its_system_was_stopped_ends_all_the_same,
    1,
    "Hopeless",
    async {
        let child = described().spawn();
        System::current().stop();
        actix::clock::sleep(Duration::from_millis(10)).await;
        child.addr().do_send(Fail);
        pending().await
    }
);

ends!(
    a_main_that_runs_a_socket_of_another_thread_until_a_signal_gets_the_error,
    3,
    "Hopeless",
    async {
        let (started, socket) = tokio::sync::oneshot::channel();
        std::thread::spawn(move || {
            let system = System::new();
            system.block_on(async {
                let socket = Socket::start().expect("a socket");
                let _ = started.send(socket);
                actix::clock::sleep(Duration::from_millis(100)).await;
                give_up();
            });
            let _ = system.run();
        });
        let drain = Drain::within(Duration::from_secs(10));
        socket.await?.run_until_signal(drain).await?;
        Ok(())
    }
);

/// Blocks its thread at its start.
struct Blocker;

impl Actor for Blocker {
    type Context = Context<Self>;
    fn started(&mut self, _: &mut Self::Context) {
        std::thread::sleep(Duration::from_secs(3_600));
    }
}

ends!(
    a_tree_that_gives_up_ends_the_program_although_a_child_blocks_its_thread,
    1,
    "Hopeless",
    async {
        let elsewhere = Arbiter::new();
        let mut tree = SupervisionTree::one_for_one()
            .name("tree")
            .intensity(0, Duration::from_secs(1));
        let hopeless = tree.child(described());
        // The second one is never started, because the thread is the first one's.
        for _ in 0..2 {
            let blocker = supervise(|| Blocker).shutdown(Duration::from_millis(10));
            tree.child_in_arbiter(&elsewhere.handle(), blocker);
        }
        let _tree = tree.start();
        hopeless.do_send(Fail);
        pending().await
    }
);

#[test]
fn a_system_that_runs_until_it_is_stopped_returns_and_the_process_is_its_mains_to_end() {
    if again::part().is_some() {
        log_to_stderr();
        let system = System::new();
        system.block_on(async { give_up() });
        let code = system.run_with_code().unwrap();
        // Longer than a runtime would have had, that had not been dropped.
        std::thread::sleep(Duration::from_millis(1_500));
        std::process::exit(6 + code);
    }
    let test = "a_system_that_runs_until_it_is_stopped_returns_and_the_process_is_its_mains_to_end";
    let child = again::start(test, "program");
    System::new().block_on(async {
        ends_with(child, 7, "Hopeless").await;
    });
}

/// Gives up a program with a socket whose `main` ends by the error, while a task blocks.
#[cfg(target_os = "linux")]
async fn leave_a_blocking_task() -> Result<(), actix_aiomsg::RunError> {
    tokio::task::spawn_blocking(|| std::thread::sleep(Duration::from_secs(3_600)));
    let socket = Socket::start().unwrap();
    give_up();
    let drain = Drain::within(Duration::from_secs(10));
    socket.run_until_signal(drain).await.map(drop)
}

#[cfg(target_os = "linux")]
#[test]
fn a_blocking_task_does_not_keep_a_program_that_was_given_up_and_whose_main_has_ended() {
    if again::part().is_some() {
        log_to_stderr();
        // As `#[actix::main]` does.
        let ended = System::new().block_on(leave_a_blocking_task());
        eprintln!("main goes on: {ended:?}");
        return;
    }
    let test = "a_blocking_task_does_not_keep_a_program_that_was_given_up_and_whose_main_has_ended";
    let child = again::start(test, "program");
    System::new().block_on(async {
        let told = ends_with(child, 1, "Hopeless").await;
        assert!(told.contains("a blocking task keeps the runtime"), "{told}");
        assert!(!told.contains("main goes on"), "{told}");
    });
}

#[cfg(unix)]
#[test]
fn one_signal_ends_a_process_whose_main_goes_on_after_supervision_gave_up() {
    if again::part().is_some() {
        log_to_stderr();
        let system = System::new();
        system.block_on(async {
            let socket = Socket::start().unwrap();
            let drain = Drain::within(Duration::from_secs(10));
            let mut running = pin!(socket.run_until_signal(drain));
            // Signals are heard from the first poll on.
            assert!(futures_util::poll!(&mut running).is_pending());
            give_up();
            running.await.unwrap_err();
        });
        system.run_with_code().unwrap();
        eprintln!("main goes on");
        std::thread::sleep(Duration::from_secs(3_600));
    }
    let test = "one_signal_ends_a_process_whose_main_goes_on_after_supervision_gave_up";
    let mut child = again::start(test, "program");
    System::new().block_on(async {
        child.stderr.find(|line| line == "main goes on").await;
        child.signal("TERM");
        again::fails_with(child, "a signal after supervision gave up").await;
    });
}

#[test]
fn a_local_set_without_a_system_ends() {
    if again::part().is_some() {
        log_to_stderr();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let main = async {
            give_up();
            pending::<()>().await
        };
        return tokio::task::LocalSet::new().block_on(&runtime, main);
    }
    let child = again::start("a_local_set_without_a_system_ends", "program");
    System::new().block_on(async {
        ends_with(child, 1, "Hopeless").await;
    });
}

/// Answers each job after a while.
struct Jobs(WeakSocket);

impl Actor for Jobs {
    type Context = Context<Self>;
    fn started(&mut self, ctx: &mut Self::Context) {
        self.0.subscribe(ctx);
    }
}

impl Handler<Received> for Jobs {
    type Result = ResponseFuture<()>;
    fn handle(&mut self, job: Received, _: &mut Self::Context) -> Self::Result {
        Box::pin(async move {
            actix::clock::sleep(Duration::from_millis(50)).await;
            job.reply("done").expect("there is room for an answer");
        })
    }
}

#[test]
fn what_a_socket_has_received_is_handled_and_answered_before_the_program_ends() {
    const JOBS: usize = 50;
    let test = "what_a_socket_has_received_is_handled_and_answered_before_the_program_ends";
    async fn serve() -> (Socket, Addr<Jobs>) {
        let socket = Socket::start().expect("a socket");
        let jobs = Jobs(socket.downgrade()).start();
        let endpoint = socket.bind("127.0.0.1:0").await.expect("a free port");
        eprintln!("port {}", endpoint.port().expect("of TCP"));
        (socket, jobs)
    }
    let main = async |socket: Socket| {
        eventually("the jobs", || socket.stats().received as usize == JOBS).await;
        give_up();
        pending().await
    };
    match again::part().as_deref() {
        Some("here") => program(async {
            let (socket, _jobs) = serve().await;
            main(socket).await
        }),
        Some(_) => program(async {
            let (started, socket) = tokio::sync::oneshot::channel();
            std::thread::spawn(move || {
                System::new().block_on(async {
                    let (socket, _jobs) = serve().await;
                    let _ = started.send(socket);
                    pending::<()>().await
                })
            });
            main(socket.await?).await
        }),
        None => {}
    }
    System::new().block_on(async {
        for place in ["here", "in a system of its own"] {
            let mut child = again::start(test, place);
            let port = again::told_number(&mut child, "port ").await;
            let client = Socket::start().unwrap();
            client.connect(format!("127.0.0.1:{port}")).await.unwrap();
            for _ in 0..JOBS {
                client.send("job").await.unwrap();
            }
            for _ in 0..JOBS {
                let answer = within_patience("an answer", client.recv()).await.unwrap();
                assert_eq!(answer.text(), Ok("done"));
            }
            ends_with(child, 1, "Hopeless").await;
        }
    });
}

#[cfg(unix)]
#[test]
fn supervision_that_gives_up_during_a_drain_is_the_error_that_main_gets_when_that_is_over() {
    let test =
        "supervision_that_gives_up_during_a_drain_is_the_error_that_main_gets_when_that_is_over";
    if again::part().is_some() {
        program(async {
            let socket = Socket::start()?;
            let jobs = Jobs(socket.downgrade()).start();
            let endpoint = socket.bind("127.0.0.1:0").await?;
            eprintln!("port {}", endpoint.port().expect("of TCP"));
            let told = socket.clone();
            actix::spawn(async move {
                eventually("the jobs", || told.stats().received == 50).await;
                eprintln!("all there");
                eventually("the drain", || {
                    told.health().unready().contains(&Unready::Draining)
                })
                .await;
                give_up();
            });
            // Longer than anybody waits for the end of a test.
            socket
                .run_until_signal(Drain::within(Duration::from_secs(3_600)))
                .await?;
            let _jobs = jobs;
            Ok(())
        });
    }
    let mut child = again::start(test, "program");
    System::new().block_on(async {
        let port = again::told_number(&mut child, "port ").await;
        let client = Socket::start().unwrap();
        client.connect(format!("127.0.0.1:{port}")).await.unwrap();
        for _ in 0..50 {
            client.send("job").await.unwrap();
        }
        child.stderr.find(|line| line == "all there").await;
        child.signal("TERM");
        for _ in 0..50 {
            let answer = within_patience("an answer", client.recv()).await.unwrap();
            assert_eq!(answer.text(), Ok("done"));
        }
        let told = ends_with(child, 3, "Hopeless").await;
        assert!(
            told.contains("main ended: the program cannot go on"),
            "{told}"
        );
    });
}

#[test]
fn what_senders_have_and_nobody_has_handled_is_no_loss_when_the_program_is_given_up() {
    let test = "what_senders_have_and_nobody_has_handled_is_no_loss_when_the_program_is_given_up";
    if again::part().is_some() {
        program(async {
            let socket = Socket::start()?;
            let endpoint = socket.bind("127.0.0.1:0").await?;
            eprintln!("port {}", endpoint.port().expect("of TCP"));
            eventually("the jobs", || socket.stats().received == 5).await;
            give_up();
            pending().await
        });
    }
    let mut child = again::start(test, "program");
    System::new().block_on(async {
        let port = again::told_number(&mut child, "port ").await;
        let at_least_once = DeliveryGuarantee::AtLeastOnce;
        let client = Socket::builder().delivery_guarantee(at_least_once).start();
        let client = client.unwrap();
        client.connect(format!("127.0.0.1:{port}")).await.unwrap();
        for _ in 0..5 {
            client.send("job").await.unwrap();
        }
        let told = ends_with(child, 1, "Hopeless").await;
        assert!(!told.contains("over messages of a socket"), "{told}");
    });
}

#[cfg(feature = "test-util")]
async fn exhaust_router(socket: &Socket) {
    for restarts in 0..=5 {
        while socket.inspect().await.children[0].restarts < restarts {
            actix::clock::sleep(Duration::from_millis(5)).await;
        }
        socket.crash(actix_aiomsg::testing::Part::Router);
    }
}

#[cfg(feature = "test-util")]
ends!(
    own_actors_of_a_socket_whose_events_nobody_hears_end_the_program,
    1,
    "router",
    async {
        let socket = Socket::start()?;
        exhaust_router(&socket).await;
        while socket.recv().await.is_ok() {}
        Ok(())
    }
);
