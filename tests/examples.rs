//! The example programs do what their documentation says, as a user would run them.

mod support;

use std::time::{Duration, Instant};

use actix_aiomsg::{Endpoint, Socket};
use support::agent::port_in;
use support::example;
use support::process::Process;

#[tokio::test]
async fn the_first_programs_say_what_they_received() {
    let programs = [
        ("first", "hello"),
        ("first_actor", "HELLO"),
        ("first_publish", "Ada: to all\nAda: to Ada\nBob: to all"),
        #[cfg(feature = "json")]
        ("first_service", "40 + 2 = 42"),
    ];
    for (name, expected) in programs {
        let mut program = Process::spawn(&mut example::command(name, ""));
        assert_eq!(program.rest_of_stdout().await.join("\n"), expected);
        assert!(program.exit().await.success());
    }
}

#[tokio::test]
async fn tokens_decide_who_comes_in() {
    let mut program = Process::spawn(&mut example::command("browser_token", ""));
    let expected = [
        "ada: hello",
        "grace: hello",
        "a guess: refused with code 1008",
    ];
    assert_eq!(program.rest_of_stdout().await, expected);
    assert!(program.exit().await.success());
}

#[cfg(feature = "tls-dev")]
#[tokio::test]
async fn certificates_decide_who_is_who() {
    let mut program = Process::spawn(&mut example::command("mutual_tls", ""));
    let expected = [
        "ada got: the secret",
        "mallory got: nothing much",
        "the office got \"I am ada\" from cn:mallory",
    ];
    assert_eq!(program.rest_of_stdout().await, expected);
    assert!(program.exit().await.success());
}

#[tokio::test]
async fn the_demo_ends_by_itself_with_counts_that_add_up() {
    // Building it does not count.
    let mut command = example::command("demo", "");
    let start = Instant::now();
    let mut demo = Process::spawn(&mut command);
    let lines = demo.rest_of_stdout().await;
    let status = demo.exit().await;
    let told = lines.join("\n");
    assert!(status.success(), "{told}\n{}", demo.complaint().await);
    assert!(start.elapsed() < Duration::from_secs(20));
    assert!(!told.contains('\x1b'), "colour, and no terminal: {told}");
    for part in [
        "sent         27",
        "received     27 of 27",
        "replied      21 of 21",
    ] {
        assert!(told.contains(part), "{told}");
    }
    for part in ["reconnected  3 of 3", "time_server"] {
        assert!(told.contains(part), "{told}");
    }
    assert_eq!(told.matches("the desk loses").count(), 1, "{told}");
    assert!(
        told.contains("the desk loses carol without a goodbye"),
        "{told}"
    );
    assert!(told.contains("says goodbye to bob"), "{told}");
}

#[tokio::test]
async fn the_demo_stops_when_it_is_interrupted() {
    let mut demo = Process::spawn(&mut example::command("demo", ""));
    let stdout = demo.stdout.as_mut().expect("it is read");
    stdout.find(|line| line.contains("Publish")).await;
    let start = Instant::now();
    demo.signal("INT");
    assert!(demo.exit().await.success());
    assert!(start.elapsed() < Duration::from_secs(3));
}

#[tokio::test]
async fn the_time_client_ends_without_a_panic_when_its_reader_has_gone() {
    let mut server = Process::spawn(&mut example::command(
        "time_server",
        "--port 0 --interval-ms 10",
    ));
    let port = port_in(&server.line().await);
    let options = format!("--port {port}");
    let mut client = Process::spawn_unread(&mut example::command("time_client", &options));
    client.close_stdout();
    assert!(client.exit().await.success());
    assert_eq!(client.complaint().await, "");
}

#[tokio::test]
async fn the_supervised_service_panics_and_loses_nothing() {
    let mut command = example::command("supervised", "");
    let start = Instant::now();
    let mut program = Process::spawn(&mut command);
    let told = program.rest_of_stdout().await.join("\n");
    let status = program.exit().await;
    assert!(status.success(), "{told}\n{}", program.complaint().await);
    assert!(start.elapsed() < Duration::from_secs(20));
    let parts = [
        "restarted  Service, 30 times",
        "handled    300 of 300, each once",
        "answered   300 of 300",
        "lost       0",
    ];
    for part in parts {
        assert!(told.contains(part), "{told}");
    }
}

#[tokio::test]
async fn the_supervised_service_stops_when_it_is_interrupted() {
    // It may be through with its work before the signal comes.
    for _ in 0..20 {
        let mut program = Process::spawn(&mut example::command("supervised", ""));
        skips_to(&mut program, "restarted").await;
        program.signal("INT");
        let told = program.rest_of_stdout().await.join("\n");
        assert!(program.exit().await.success(), "{told}");
        if told.contains("stopped; draining") {
            return;
        }
    }
    panic!("no signal has stopped it");
}

#[actix::test]
async fn the_first_supervised_program_drains_when_it_is_told_to_stop() {
    for signal in ["INT", "TERM"] {
        let mut program = Process::spawn(&mut example::command("first_supervised", ""));
        let server = program.line().await;
        // Nobody reads the rest.
        program.stdout = None;
        let server = server.parse::<Endpoint>().expect("it says where it is");
        let client = Socket::start().expect("a LocalSet runs");
        client.connect(server).await.expect("an endpoint");
        for job in ["good", "bad", "good"] {
            client.send(job).await.expect("room");
        }
        for _ in 0..2 {
            assert_eq!(client.recv().await.expect("it is open").text(), Ok("done"));
        }
        program.signal(signal);
        let told = program.complaint().await;
        assert!(told.contains("unsent: 0"), "{told}");
        assert!(program.exit().await.success());
    }
}

#[tokio::test]
async fn the_time_goes_on_when_server_and_client_are_killed_and_restarted() {
    let (mut server, port) = time_server(0).await;
    let mut client = time_client(port).await;
    hears_the_time(&mut client).await;

    server.kill();
    let (mut server, _) = time_server(port).await;
    skips_to(&mut client, "(the server is at").await;
    hears_the_time(&mut client).await;

    client.kill();
    skips_to(&mut server, " went: ").await;
    let mut client = time_client(port).await;
    hears_the_time(&mut client).await;

    client.signal("INT");
    assert!(client.exit().await.success());
    server.signal("TERM");
    let told = server.rest_of_stdout().await.join("\n");
    assert!(told.contains("Closed: "), "{told}");
    assert!(server.exit().await.success());
}

#[tokio::test]
async fn two_services_are_two_programs_of_which_one_asks_the_other() {
    let mut inventory = Process::spawn(&mut example::command("services", "inventory"));
    let endpoint = inventory.line().await;
    let told = inventory.stderr.next().await.expect("it says what is next");
    assert!(told.contains(&format!("orders {endpoint}")), "{told}");
    let options = format!("orders {endpoint}");
    let mut orders = Process::spawn(&mut example::command("services", &options));
    let expected = [
        r#"tea: Accepted(Left { count: 2 })"#,
        r#"tea: Refused("sold out")"#,
        r#"coal: Refused("unknown item")"#,
    ];
    assert_eq!(orders.rest_of_stdout().await, expected);
    assert!(orders.exit().await.success());
    inventory.signal("INT");
    assert!(inventory.exit().await.success());
}

#[cfg(feature = "actix-web")]
#[tokio::test]
async fn an_instance_of_the_shop_is_replaced_under_load_and_no_purchase_fails() {
    let options = "--purchases 1200 --customers 16";
    let mut shop = Process::spawn(&mut example::command("shop", options));
    let told = shop.rest_of_stdout().await.join("\n");
    let status = shop.exit().await;
    assert!(status.success(), "{told}\n{}", shop.complaint().await);
    assert!(
        told.contains("orders-0 has ended: exit status: 0"),
        "{told}"
    );
    let ways: Vec<_> = told
        .lines()
        .filter_map(|line| line.split_once(" customers came to "))
        .collect();
    let customers = ways.iter().map(|(count, _)| count.parse().unwrap_or(0));
    assert_eq!(customers.sum::<usize>(), 16, "{told}");
    assert!(told.contains("failed    0\n"), "{told}");
    // Those of the other stay; those of the one that is replaced go to the other and come back.
    for (_, way) in &ways {
        let expected = [
            "orders-0, orders-1",
            "orders-0, orders-1, orders-0",
            "orders-1",
        ];
        assert!(expected.contains(way), "{told}");
    }
    assert!(ways.iter().any(|(_, way)| *way == "orders-1"), "{told}");
    let came_back = |(_, way): &(&str, &str)| way.ends_with(", orders-0");
    assert!(ways.iter().any(came_back), "{told}");
}

#[tokio::test]
async fn the_relay_publishes_onward_and_confirms_by_name() {
    let mut program = Process::spawn(&mut example::command("relay", ""));
    let expected = [
        "sender: relayed 5 bytes",
        "one: first",
        "two: first",
        "sender: relayed 6 bytes",
        "one: second",
        "two: second",
    ];
    assert_eq!(program.rest_of_stdout().await, expected);
    assert!(program.exit().await.success());
}

#[tokio::test]
async fn orders_through_a_fleet_of_relays_are_all_handled_though_one_is_killed() {
    let mut program = Process::spawn(&mut example::command("relay_fleet", "--orders 3000"));
    let told = program.rest_of_stdout().await;
    assert!(program.exit().await.success(), "{told:?}");
    let milestones = [
        "3 relays are up",
        "a relay was killed",
        "a worker has left, and another one has come",
    ];
    assert_eq!(told[..3], milestones);
    assert!(
        told[3].starts_with("3000 orders are handled, none is lost"),
        "{told:?}"
    );
}

#[tokio::test]
async fn a_worker_that_is_slower_does_less() {
    let mut program = Process::spawn(&mut example::command("workers", ""));
    let told = program.rest_of_stdout().await.join("\n");
    assert!(program.exit().await.success());
    let (done, by_worker) = told.split_once(" jobs done; by worker: ").expect(&told);
    assert_eq!(done, "400");
    let taken: Vec<u64> = serde_json::from_str(by_worker).expect("a list");
    assert_eq!(taken.iter().sum::<u64>(), 400);
    assert!(taken[0] * 2 < taken[3], "{told}");
}

#[tokio::test]
async fn creators_and_workers_share_the_jobs() {
    let mut program = Process::spawn(&mut example::command("jobs", ""));
    let told = program.rest_of_stdout().await;
    assert!(program.exit().await.success());
    assert_eq!(told.len(), 5, "{told:?}");
    // Three times the squares from 0 to 49.
    assert_eq!(told[4], "the sum is 121275");
}

#[tokio::test]
async fn what_one_says_in_the_chat_all_hear() {
    let mut room = Process::spawn(&mut example::command("chat", "serve"));
    let endpoint = room.line().await;
    let told = room.stderr.next().await.expect("it says how to join");
    assert!(told.contains(&format!("chat -- NAME {endpoint}")), "{told}");
    let mut ann = Process::spawn(&mut example::command("chat", &format!("ann {endpoint}")));
    // Whoever hears himself is there.
    ann.say("hello");
    assert_eq!(ann.line().await, "ann: hello");
    let mut bob = Process::spawn(&mut example::command("chat", &format!("bob {endpoint}")));
    bob.say("good morning");
    assert_eq!(bob.line().await, "bob: good morning");
    assert_eq!(ann.line().await, "bob: good morning");
    ann.say("how do you do");
    assert_eq!(bob.line().await, "ann: how do you do");
    for program in [&mut ann, &mut bob, &mut room] {
        program.kill();
    }
}

#[tokio::test]
async fn help_is_there() {
    for (name, part) in [
        ("browser_token", "a token in their cookie"),
        ("demo", "a worker that is killed"),
        ("jobs", "Creators and workers"),
        #[cfg(feature = "tls-dev")]
        ("mutual_tls", "nobody can be somebody else"),
        #[cfg(feature = "outbox")]
        ("one_transaction", "each order is reserved once"),
        ("relay", "confirms to the sender"),
        ("supervised", "panics on every tenth message"),
        ("tree", "panics, restarts, escalation"),
        ("workers", "whoever is free"),
        ("time_server", "--port"),
        ("time_client", "--port"),
        ("conformance_agent", "--port"),
        ("yard", "--addr"),
        ("services", "inventory"),
        ("chat", "serve"),
        #[cfg(feature = "actix-web")]
        ("chat_web", "--peers-port"),
    ] {
        let mut help = Process::spawn(&mut example::command(name, "--help"));
        let told = help.rest_of_stdout().await.join("\n");
        assert!(told.contains(part), "{name}: {told}");
        assert!(help.exit().await.success());
    }
}

#[tokio::test]
async fn the_tree_shows_restarts_and_no_delay_that_is_none() {
    let mut program = Process::spawn(&mut example::command("tree", ""));
    let told = program.rest_of_stdout().await.join("\n");
    assert!(program.exit().await.success(), "{told}");
    assert!(told.contains("ledger runs again (restart 1)"), "{told}");
    assert!(!told.contains(" 0ns") && !told.contains(" 0.0"), "{told}");
}

/// The examples that this build has.
fn built() -> Vec<String> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/examples");
    let entries = std::fs::read_dir(folder).expect("there are examples");
    let names = entries.filter_map(|entry| {
        let path = entry.expect("it can be read").path();
        let is_example =
            path.extension().is_some_and(|e| e == "rs") || path.join("main.rs").exists();
        let name = path.file_stem()?.to_str()?.to_owned();
        is_example.then_some(name)
    });
    let by_feature = [
        ("mutual_tls", cfg!(feature = "tls-dev")),
        ("chat_web", cfg!(feature = "actix-web")),
        (
            "kubernetes",
            cfg!(all(feature = "actix-web", feature = "dns")),
        ),
        ("shop", cfg!(feature = "actix-web")),
    ];
    let is_built = |name: &str| !by_feature.contains(&(name, false));
    names.filter(|name| is_built(name)).collect()
}

#[tokio::test]
async fn every_example_explains_itself_and_refuses_what_it_does_not_know() {
    let names = built();
    assert!(names.len() > 15, "{names:?}");
    for name in names {
        let mut help = Process::spawn(&mut example::command(&name, "--help"));
        let told = help.rest_of_stdout().await.join("\n");
        assert!(help.exit().await.success(), "{name}: {told}");
        let (about, usage) = told.split_once("Usage: ").expect(&told);
        assert!(!about.trim().is_empty(), "{name} does not say what it is");
        assert!(usage.contains("--help"), "{name}: {told}");

        let mut wrong = Process::spawn(&mut example::command(&name, "--no-such-option"));
        assert!(wrong.rest_of_stdout().await.is_empty(), "{name}");
        let complaint = wrong.complaint().await;
        assert_eq!(wrong.exit().await.code(), Some(2), "{name}: {complaint}");
        for part in ["error: ", "'--no-such-option'", "--help"] {
            assert!(complaint.contains(part), "{name}: {complaint}");
        }
    }
}

#[tokio::test]
async fn a_reader_that_goes_away_after_the_first_line_is_no_reason_to_panic() {
    for (name, options, ends_by_itself) in [
        ("browser_token", "", true),
        ("chat", "serve", false),
        ("demo", "", true),
        ("jobs", "", true),
        ("relay", "", true),
        ("relay_fleet", "--orders 300", true),
        ("services", "inventory", false),
        ("supervised", "", true),
        ("time_client", "--port 1", false),
        ("time_server", "--port 0", false),
        ("tree", "", true),
        ("workers", "", true),
    ] {
        let mut program = Process::spawn(&mut example::command(name, options));
        program.line().await;
        program.stdout = None;
        if !ends_by_itself {
            program.signal("INT");
        }
        // What some of their actors panic about is part of the show.
        let complaint = program.complaint().await;
        assert!(!complaint.contains("Broken pipe"), "{name}: {complaint}");
        let status = program.exit().await;
        assert!(status.success(), "{name}: {status}: {complaint}");
    }
}

#[tokio::test]
async fn long_running_programs_end_well_when_they_are_interrupted() {
    for (name, options) in [
        ("chat", "serve"),
        ("services", "inventory"),
        ("time_server", "--port 0"),
        ("time_client", "--port 1"),
    ] {
        let mut program = Process::spawn(&mut example::command(name, options));
        program.line().await;
        program.signal("INT");
        let status = program.exit().await;
        assert!(status.success(), "{name}: {status}");
    }
}

#[tokio::test]
async fn a_client_says_once_that_there_is_no_server_and_goes_on() {
    for (name, options, goodbye) in [
        ("time_client", "--port 1", ""),
        ("chat", "ann tcp://127.0.0.1:1", "stopped"),
    ] {
        let mut client = Process::spawn(&mut example::command(name, options));
        let said = client.stderr.find(|line| line.contains("trying again"));
        assert!(said.await.contains("no server at tcp://127.0.0.1:1 yet"));
        client.signal("INT");
        assert_eq!(client.complaint().await, goodbye, "{name}");
        assert!(client.exit().await.success(), "{name}");
    }
}

#[tokio::test]
async fn what_a_user_got_wrong_is_said_in_a_sentence() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = taken.local_addr().expect("it is bound").port();
    let in_use = "in use";
    for (name, options, said) in [
        ("time_server", format!("--port {port}"), in_use),
        ("chat", format!("serve {port}"), in_use),
        ("services", format!("inventory {port}"), in_use),
        #[cfg(feature = "actix-web")]
        ("chat_web", format!("--port {port} --peers-port 0"), in_use),
        #[cfg(feature = "actix-web")]
        ("chat_web", format!("--peers-port {port} --port 0"), in_use),
        (
            "time_client",
            "--host not/a/host".to_owned(),
            "out of place",
        ),
        ("chat", "ann".to_owned(), "which endpoint?"),
        ("chat", "ann carrier-pigeon://roof".to_owned(), "unknown"),
        #[cfg(feature = "outbox")]
        (
            "one_transaction",
            "/dev/null/books".to_owned(),
            "/dev/null/books",
        ),
    ] {
        let mut program = Process::spawn(&mut example::command(name, &options));
        let complaint = program.complaint().await;
        assert!(!program.exit().await.success());
        assert!(complaint.starts_with("Error: "), "{name}: {complaint}");
        assert!(complaint.contains(said), "{name}: {complaint}");
        assert_eq!(complaint.lines().count(), 1, "{name}: {complaint}");
    }
}

async fn time_server(port: u16) -> (Process, u16) {
    let options = format!("--port {port} --interval-ms 20");
    let mut server = Process::spawn(&mut example::command("time_server", &options));
    let port = port_in(&server.line().await);
    (server, port)
}

async fn time_client(port: u16) -> Process {
    let options = format!("--port {port}");
    let mut client = Process::spawn(&mut example::command("time_client", &options));
    skips_to(&mut client, "(the server is at").await;
    client
}

async fn hears_the_time(client: &mut Process) {
    for _ in 0..3 {
        skips_to(client, " UTC").await;
    }
}

async fn skips_to(process: &mut Process, part: &str) {
    let stdout = process.stdout.as_mut().expect("it is read");
    stdout.find(|line| line.contains(part)).await;
}
