//! A program that is asked to stop finishes what it has, tells what became of it, and does not dawdle when it is
//! asked again.
#![cfg(unix)]

mod support;

use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use actix::prelude::*;
use actix_aiomsg::SocketBuilder;
use actix_aiomsg::prelude::*;
use support::again;
use support::process::Process;
use support::within_patience;

const JOBS: usize = 200;

/// The way in which a job is done.
#[derive(Clone, Copy)]
enum Work {
    AtOnce,
    Slowly,
    Never,
    BlockingItsThread,
}

/// Jobs that this program has done.
static DONE: AtomicUsize = AtomicUsize::new(0);

struct Jobs(WeakSocket, Work);

impl Actor for Jobs {
    type Context = Context<Self>;
    fn started(&mut self, ctx: &mut Self::Context) {
        self.0.subscribe(ctx);
    }
}

impl Handler<Received> for Jobs {
    type Result = ResponseFuture<()>;
    fn handle(&mut self, job: Received, _: &mut Self::Context) -> Self::Result {
        let work = self.1;
        eprintln!("begun");
        if let Work::BlockingItsThread = work {
            std::thread::sleep(Duration::from_secs(3_600));
        }
        Box::pin(async move {
            match work {
                Work::AtOnce => {}
                Work::Slowly => actix::clock::sleep(Duration::from_millis(2)).await,
                Work::Never | Work::BlockingItsThread => std::future::pending().await,
            }
            job.reply("done").expect("there is room for an answer");
            DONE.fetch_add(1, Ordering::Relaxed);
        })
    }
}

/// Serves jobs until it is asked to stop, and says what became of them.
fn serve(work: Work, drain: Drain) -> ! {
    log_to_stderr();
    System::new().block_on(async {
        let socket = Socket::start().unwrap();
        let _jobs = Jobs(socket.downgrade(), work).start();
        let endpoint = socket.bind("127.0.0.1:0").await.unwrap();
        let counted = socket.clone();
        actix::spawn(async move {
            support::eventually("the jobs", || counted.stats().received as usize >= JOBS).await;
            eprintln!("all there");
        });
        eprintln!("port {}", endpoint.port().expect("of TCP"));
        let report = socket.run_until_signal(drain).await.unwrap();
        eprintln!("done {}", DONE.load(Ordering::Relaxed));
        eprintln!(
            "report {} {} {} {}",
            report.handled, report.unfinished, report.unhandled, report.unsent
        );
    });
    std::process::exit(0)
}

/// A client of a program that serves.
async fn connected(child: &mut Process, builder: SocketBuilder) -> Socket {
    let port = again::told_number(child, "port ").await;
    let client = builder.start().unwrap();
    client.connect(format!("127.0.0.1:{port}")).await.unwrap();
    client
}

/// A program that serves, and a client that has sent it all jobs.
async fn served(test: &str) -> (Process, Socket) {
    let mut child = again::start(test, "server");
    let client = connected(&mut child, Socket::builder()).await;
    for _ in 0..JOBS {
        client.send("job").await.unwrap();
    }
    (child, client)
}

#[test]
fn all_that_was_received_is_handled_and_answered_before_the_program_ends() {
    const TEST: &str = "all_that_was_received_is_handled_and_answered_before_the_program_ends";
    if again::part().is_some() {
        serve(Work::Slowly, Drain::within(Duration::from_secs(60)));
    }
    System::new().block_on(async {
        let (mut child, client) = served(TEST).await;
        child.stderr.find(|line| line == "all there").await;
        child.signal("TERM");
        for _ in 0..JOBS {
            let answer = within_patience("an answer", client.recv()).await.unwrap();
            assert_eq!(answer.text(), Ok("done"));
        }
        let report = again::told(&mut child, "report ").await;
        assert_eq!(report, format!("{JOBS} 0 0 0"));
        assert!(child.exit().await.success());
    });
}

/// Hands jobs on to another socket of the same program, and takes its time.
struct Front(WeakSocket, Socket);

impl Actor for Front {
    type Context = Context<Self>;
    fn started(&mut self, ctx: &mut Self::Context) {
        self.0.subscribe(ctx);
    }
}

impl Handler<Received> for Front {
    type Result = ResponseFuture<()>;
    fn handle(&mut self, job: Received, _: &mut Self::Context) -> Self::Result {
        let back = self.1.clone();
        Box::pin(async move {
            actix::clock::sleep(Duration::from_millis(2)).await;
            let handed_on = back.send(job.payload().clone()).await;
            handed_on.expect("the back is open for as long as the front has jobs");
        })
    }
}

#[test]
fn a_socket_without_messages_stays_open_while_another_one_of_the_program_drains() {
    const TEST: &str =
        "a_socket_without_messages_stays_open_while_another_one_of_the_program_drains";
    let program = async {
        let (front, back) = (Socket::start().unwrap(), Socket::start().unwrap());
        let _front = Front(front.downgrade(), back.clone()).start();
        for socket in [&front, &back] {
            let endpoint = socket.bind("127.0.0.1:0").await.unwrap();
            eprintln!("port {}", endpoint.port().expect("of TCP"));
        }
        let counted = front.clone();
        actix::spawn(async move {
            support::eventually("the jobs", || counted.stats().received as usize >= JOBS).await;
            eprintln!("all there");
        });
        let drain = Drain::within(Duration::from_secs(60));
        let (front, back) =
            tokio::join!(front.run_until_signal(drain), back.run_until_signal(drain));
        eprintln!("report {} {}", front.unwrap().handled, back.unwrap().unsent);
        std::process::exit(0)
    };
    match again::part().as_deref() {
        Some("system") => System::new().block_on(program),
        Some(_) => {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            tokio::task::LocalSet::new().block_on(&runtime, program)
        }
        None => {}
    }
    System::new().block_on(async {
        for program in ["system", "local set"] {
            let mut child = again::start(TEST, program);
            let client = connected(&mut child, Socket::builder()).await;
            let worker = connected(&mut child, Socket::builder()).await;
            for _ in 0..JOBS {
                client.send("job").await.unwrap();
            }
            child.stderr.find(|line| line == "all there").await;
            child.signal("TERM");
            for _ in 0..JOBS {
                within_patience("a job", worker.recv()).await.unwrap();
            }
            let report = again::told(&mut child, "report ").await;
            assert_eq!(report, format!("{JOBS} 0"));
            assert!(child.exit().await.success());
        }
    });
}

#[test]
fn a_signal_after_the_sockets_are_closed_ends_a_program_that_is_not_over() {
    const TEST: &str = "a_signal_after_the_sockets_are_closed_ends_a_program_that_is_not_over";
    if again::part().is_some() {
        log_to_stderr();
        System::new().block_on(async {
            let socket = Socket::start().unwrap();
            let mut running = pin!(socket.run_until_signal(Drain::within(Duration::from_secs(1))));
            // Signals are heard from the first poll on.
            assert!(futures_util::poll!(&mut running).is_pending());
            eprintln!("port 0");
            running.await.unwrap();
            eprintln!("closed");
            std::future::pending::<()>().await;
        });
    }
    System::new().block_on(async {
        let mut child = again::start(TEST, "program");
        again::told_number(&mut child, "port ").await;
        child.signal("TERM");
        child.stderr.find(|line| line == "closed").await;
        child.signal("INT");
        again::fails_with(child, "a signal after the sockets were closed").await;
    });
}

#[test]
fn the_deadline_ends_a_drain_and_the_report_tells_what_was_not_handled() {
    const TEST: &str = "the_deadline_ends_a_drain_and_the_report_tells_what_was_not_handled";
    if again::part().is_some() {
        serve(Work::Never, Drain::within(Duration::from_millis(300)));
    }
    System::new().block_on(async {
        let (mut child, _client) = served(TEST).await;
        child.stderr.find(|line| line == "all there").await;
        child.signal("TERM");
        let report = again::told(&mut child, "report ").await;
        assert_eq!(report, format!("0 1 {} 0", JOBS - 1));
        assert!(child.exit().await.success());
    });
}

#[test]
fn a_second_signal_cuts_the_drain_short_with_a_warning() {
    const TEST: &str = "a_second_signal_cuts_the_drain_short_with_a_warning";
    if again::part().is_some() {
        serve(Work::Never, Drain::within(Duration::from_secs(3_600)));
    }
    System::new().block_on(async {
        let (mut child, _client) = served(TEST).await;
        child.stderr.find(|line| line == "all there").await;
        child.signal("TERM");
        child
            .stderr
            .find(|line| line.contains("asked to stop"))
            .await;
        child.signal("INT");
        let short = |line: &str| line.contains("WARN") && line.contains("cut short");
        child.stderr.find(short).await;
        let report = again::told(&mut child, "report ").await;
        assert_eq!(report, format!("0 1 {} 0", JOBS - 1));
        assert!(child.exit().await.success());
    });
}

#[test]
fn a_second_signal_ends_a_program_whose_handler_blocks_its_thread() {
    const TEST: &str = "a_second_signal_ends_a_program_whose_handler_blocks_its_thread";
    if again::part().is_some() {
        serve(
            Work::BlockingItsThread,
            Drain::within(Duration::from_secs(3_600)),
        );
    }
    System::new().block_on(async {
        let (mut child, _client) = served(TEST).await;
        child.stderr.find(|line| line == "begun").await;
        // Two that come at once may count as one.
        while child.is_running() {
            child.signal("TERM");
            actix::clock::sleep(Duration::from_millis(50)).await;
        }
        again::fails_with(child, "a second signal").await;
    });
}

fn log_to_stderr() {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .init();
}

#[test]
fn a_blocked_thread_does_not_keep_a_program_up_beyond_the_deadline_of_its_drain() {
    const TEST: &str =
        "a_blocked_thread_does_not_keep_a_program_up_beyond_the_deadline_of_its_drain";
    if again::part().is_some() {
        serve(
            Work::BlockingItsThread,
            Drain::within(Duration::from_millis(100)),
        );
    }
    System::new().block_on(async {
        let (mut child, _client) = served(TEST).await;
        child.stderr.find(|line| line == "begun").await;
        child.signal("TERM");
        again::fails_with(child, "the drain was not over in time").await;
    });
}

#[cfg(target_os = "linux")]
#[test]
fn a_blocking_task_does_not_keep_a_program_up_beyond_the_deadline_of_its_drain() {
    const TEST: &str =
        "a_blocking_task_does_not_keep_a_program_up_beyond_the_deadline_of_its_drain";
    if again::part().is_some() {
        log_to_stderr();
        // As `#[actix::main]` does.
        System::new().block_on(async {
            // As `tokio::io::stdin()` does.
            tokio::task::spawn_blocking(|| std::io::stdin().read_line(&mut String::new()));
            let socket = Socket::start().unwrap();
            let mut running =
                pin!(socket.run_until_signal(Drain::within(Duration::from_millis(100))));
            assert!(futures_util::poll!(&mut running).is_pending());
            eprintln!("port 0");
            running.await.unwrap();
            eprintln!("closed");
        });
        return;
    }
    System::new().block_on(async {
        let mut child = again::start(TEST, "program");
        again::told_number(&mut child, "port ").await;
        child.signal("TERM");
        child.stderr.find(|line| line == "closed").await;
        again::fails_with(child, "a blocking task keeps the program").await;
    });
}

#[test]
fn a_loop_of_recv_and_run_until_signal_misses_no_signal_and_ends_with_its_drain() {
    const TEST: &str =
        "a_loop_of_recv_and_run_until_signal_misses_no_signal_and_ends_with_its_drain";
    if again::part().is_some() {
        log_to_stderr();
        System::new().block_on(async {
            let socket = Socket::start().unwrap();
            let endpoint = socket.bind("127.0.0.1:0").await.unwrap();
            eprintln!("port {}", endpoint.port().expect("of TCP"));
            let mut handled = 0;
            loop {
                tokio::select! {
                    job = socket.recv() => {
                        let Ok(job) = job else { continue };
                        if handled == 0 {
                            eprintln!("begun");
                        }
                        // Long, so that the signal comes meanwhile.
                        let pause = if handled == 0 { 500 } else { 1 };
                        actix::clock::sleep(Duration::from_millis(pause)).await;
                        job.reply("done").unwrap();
                        handled += 1;
                    }
                    report = socket.run_until_signal(Drain::within(Duration::from_secs(60))) => {
                        report.unwrap();
                        eprintln!("handled {handled}");
                        break;
                    }
                }
            }
        });
        std::process::exit(0)
    }
    System::new().block_on(async {
        let (mut child, client) = served(TEST).await;
        child.stderr.find(|line| line == "begun").await;
        child.signal("TERM");
        for _ in 0..JOBS {
            let answer = within_patience("an answer", client.recv()).await.unwrap();
            assert_eq!(answer.text(), Ok("done"));
        }
        let handled = again::told(&mut child, "handled ").await;
        assert_eq!(handled, JOBS.to_string());
        assert!(child.exit().await.success());
    });
}

#[test]
fn a_loop_of_recv_and_run_until_signal_ends_at_its_deadline_whatever_is_left() {
    const TEST: &str = "a_loop_of_recv_and_run_until_signal_ends_at_its_deadline_whatever_is_left";
    if again::part().is_some() {
        log_to_stderr();
        System::new().block_on(async {
            let socket = Socket::start().unwrap();
            let endpoint = socket.bind("127.0.0.1:0").await.unwrap();
            eprintln!("port {}", endpoint.port().expect("of TCP"));
            let mut handled = 0;
            let report = loop {
                tokio::select! {
                    job = socket.recv() => {
                        let Ok(job) = job else { continue };
                        if handled == 0 {
                            eprintln!("begun");
                        }
                        handled += 1;
                        // All of them take a minute.
                        actix::clock::sleep(Duration::from_millis(300)).await;
                        // At the deadline the socket is closed.
                        let _ = job.reply("done");
                    }
                    report = socket.run_until_signal(Drain::within(Duration::from_secs(1))) => {
                        break report.unwrap();
                    }
                }
            };
            assert!(report.unhandled > 0, "{report:?}");
            eprintln!("handled {handled}");
        });
        std::process::exit(0)
    }
    System::new().block_on(async {
        let (mut child, _client) = served(TEST).await;
        child.stderr.find(|line| line == "begun").await;
        child.signal("TERM");
        let handled: usize = again::told(&mut child, "handled ").await.parse().unwrap();
        assert!(handled < JOBS / 2, "{handled}");
        assert!(child.exit().await.success());
    });
}

#[test]
fn a_program_that_works_on_before_it_ends_is_not_taken_for_a_blocked_one() {
    const TEST: &str = "a_program_that_works_on_before_it_ends_is_not_taken_for_a_blocked_one";
    if again::part().is_some() {
        log_to_stderr();
        System::new().block_on(async {
            let socket = Socket::start().unwrap();
            let mut running =
                pin!(socket.run_until_signal(Drain::within(Duration::from_millis(10))));
            assert!(futures_util::poll!(&mut running).is_pending());
            eprintln!("port 0");
            // Longer than a drain may take that is looked at: ten seconds beyond its deadline.
            actix::clock::sleep(Duration::from_secs(13)).await;
            running.await.unwrap();
        });
        std::process::exit(0)
    }
    System::new().block_on(async {
        let mut child = again::start(TEST, "program");
        again::told_number(&mut child, "port ").await;
        child.signal("TERM");
        assert!(child.exit().await.success());
    });
}

#[test]
fn one_signal_ends_sockets_that_run_one_after_the_other() {
    const TEST: &str = "one_signal_ends_sockets_that_run_one_after_the_other";
    if again::part().is_some() {
        log_to_stderr();
        System::new().block_on(async {
            let drain = Drain::within(Duration::from_secs(10));
            let (front, back) = (Socket::start().unwrap(), Socket::start().unwrap());
            let mut running = pin!(front.run_until_signal(drain));
            assert!(futures_util::poll!(&mut running).is_pending());
            eprintln!("port 0");
            running.await.unwrap();
            back.run_until_signal(drain).await.unwrap();
        });
        std::process::exit(0)
    }
    System::new().block_on(async {
        let mut child = again::start(TEST, "program");
        again::told_number(&mut child, "port ").await;
        child.signal("TERM");
        assert!(child.exit().await.success());
    });
}

#[test]
fn a_signal_that_nobody_waits_for_is_a_warning_and_the_next_ends_the_process() {
    const TEST: &str = "a_signal_that_nobody_waits_for_is_a_warning_and_the_next_ends_the_process";
    if again::part().is_some() {
        log_to_stderr();
        System::new().block_on(async {
            let socket = Socket::start().unwrap();
            let running = socket.run_until_signal(Drain::within(Duration::from_secs(10)));
            let done = tokio::time::timeout(Duration::from_millis(10), running).await;
            assert!(done.is_err(), "no signal has come");
            eprintln!("port 0");
            std::future::pending::<()>().await;
        });
    }
    System::new().block_on(async {
        let mut child = again::start(TEST, "program");
        again::told_number(&mut child, "port ").await;
        child.signal("INT");
        let warning =
            |line: &str| line.contains("WARN") && line.contains("no socket runs until one");
        child.stderr.find(warning).await;
        child.signal("INT");
        assert_eq!(child.exit().await.code(), Some(1));
    });
}

#[test]
fn a_client_that_goes_on_sending_gets_an_answer_to_each_job_that_was_done() {
    const TEST: &str = "a_client_that_goes_on_sending_gets_an_answer_to_each_job_that_was_done";
    if again::part().is_some() {
        serve(Work::AtOnce, Drain::within(Duration::from_secs(60)));
    }
    System::new().block_on(async {
        let mut child = again::start(TEST, "server");
        let client = connected(&mut child, Socket::builder()).await;
        let flooding = client.clone();
        actix::spawn(async move { while flooding.send("job").await.is_ok() {} });
        child.stderr.find(|line| line == "all there").await;
        child.signal("TERM");
        let mut answers = 0;
        let mut state = client.state();
        loop {
            tokio::select! {
                biased;
                answer = client.recv() => {
                    assert_eq!(answer.unwrap().text(), Ok("done"));
                    answers += 1;
                }
                end = state.wait_for(|state| state.peers == 0) => break drop(end.unwrap()),
            }
        }
        let done = again::told_number(&mut child, "done ").await;
        assert_eq!(answers as u64, done);
        assert!(answers >= JOBS, "{answers}");
        assert!(child.exit().await.success());
    });
}

#[test]
fn each_job_that_was_handled_is_acknowledged_so_that_nobody_does_it_again() {
    const TEST: &str = "each_job_that_was_handled_is_acknowledged_so_that_nobody_does_it_again";
    if again::part().is_some() {
        serve(Work::Slowly, Drain::within(Duration::from_secs(60)));
    }
    System::new().block_on(async {
        let mut child = again::start(TEST, "server");
        let at_least_once = DeliveryGuarantee::AtLeastOnce;
        let builder = Socket::builder().delivery_guarantee(at_least_once);
        let client = connected(&mut child, builder).await;
        for _ in 0..JOBS {
            client.send("job").await.unwrap();
        }
        child.stderr.find(|line| line == "all there").await;
        child.signal("TERM");
        let report = again::told(&mut child, "report ").await;
        assert_eq!(report, format!("{JOBS} 0 0 0"));
        assert!(child.exit().await.success());
        support::eventually("its end", || client.stats().peers == 0).await;
        let stats = client.stats();
        assert_eq!(
            (stats.acknowledged as usize, stats.outbox_messages),
            (JOBS, 0)
        );
    });
}
