//! The recipe of docs/DURABILITY.md: business row and message in one transaction, with both ends killed.
#![cfg(unix)]

#[path = "../examples/one_transaction/books.rs"]
mod books;
mod support;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use actix::prelude::*;
use actix_aiomsg::prelude::*;
use books::{Clerk, Orders, Stock};
use support::folder::Folder;
use support::{again, scale};

async fn play(part: &str) {
    let folder = again::order().await.expect("a folder");
    let folder = Path::new(&folder);
    if part == "stock" {
        let socket = Socket::start().unwrap();
        let stock = Arc::new(Stock::open(&folder.join("stock")).unwrap());
        let clerk = Clerk {
            socket: socket.clone(),
            stock,
        };
        clerk.start();
        eprintln!("ready 0");
        // Where the other side is, each time that it is started.
        while let Some(port) = again::order().await {
            let endpoint = format!("tcp://127.0.0.1:{port}");
            socket.connect(endpoint).await.unwrap();
        }
        socket.close().await;
        return;
    }
    let builder = Socket::builder().resend_timeout(Duration::from_millis(300));
    let socket = builder.start().unwrap();
    let endpoint = socket.bind("tcp://127.0.0.1:0").await.unwrap();
    let orders = Arc::new(Orders::open(&folder.join("orders")).unwrap());
    let ends = Arc::new(AtomicBool::new(false));
    let (taking, end) = (Arc::clone(&orders), Arc::clone(&ends));
    let taker = std::thread::spawn(move || {
        while !end.load(Ordering::SeqCst) {
            taking.place("apples").unwrap();
            std::thread::sleep(Duration::from_millis(1));
        }
    });
    eprintln!("ready {}", endpoint.port().unwrap());
    let delivering = actix::spawn({
        let (orders, socket) = (Arc::clone(&orders), socket.clone());
        async move {
            loop {
                orders.deliver(&socket).await.unwrap();
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
    });
    again::order().await;
    ends.store(true, Ordering::SeqCst);
    taker.join().unwrap();
    delivering.abort();
    orders.deliver(&socket).await.unwrap();
    eprintln!("delivered {}", orders.count().unwrap());
}

#[actix::test]
async fn each_order_that_is_taken_is_reserved_once_whoever_is_killed() {
    const TEST: &str = "each_order_that_is_taken_is_reserved_once_whoever_is_killed";
    if let Some(part) = again::part() {
        return play(&part).await;
    }
    let folder = Folder::new("books");
    let start = async |part: &str| {
        let mut child = again::start(TEST, part);
        child.say(&folder.path().display().to_string());
        let port = again::told_number(&mut child, "ready").await;
        (child, port)
    };
    let (mut orders, mut port) = start("orders").await;
    let (mut stock, _) = start("stock").await;
    stock.say(&port.to_string());
    let kills = scale::of(60);
    for round in 0..kills {
        let [random, ..] = *MessageId::random().as_bytes();
        tokio::time::sleep(Duration::from_micros(u64::from(random) * 1000)).await;
        if round % 2 == 0 {
            stock.kill();
            stock.stderr.rest().await;
            (stock, _) = start("stock").await;
        } else {
            orders.kill();
            orders.stderr.rest().await;
            (orders, port) = start("orders").await;
        }
        stock.say(&port.to_string());
    }
    orders.say("stop");
    let taken = again::told_number(&mut orders, "delivered").await;
    stock.close_stdin();
    for mut child in [orders, stock] {
        let complaints = child.stderr.rest().await;
        assert!(
            !complaints.iter().any(|line| line.contains("panicked")),
            "{complaints:?}"
        );
    }
    let books = Orders::open(&folder.file("orders")).unwrap();
    assert_eq!(
        (books.count().unwrap(), books.next().unwrap()),
        (taken, None)
    );
    let reserved = Stock::open(&folder.file("stock"))
        .unwrap()
        .reserved("apples");
    println!("{kills} kills: {taken} orders, {reserved:?} reserved");
    assert_eq!(reserved.unwrap(), taken);
}
