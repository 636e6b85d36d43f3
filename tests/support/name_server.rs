//! A name server on loopback, whose records change and which fails on demand.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::rdata::SRV;
use hickory_proto::rr::{Name, RData, Record, RecordType};
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};

/// The most bytes of an answer over UDP; what is longer is cut off.
const UDP_LIMIT: usize = 512;

/// What becomes of a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mood {
    Answers,
    /// There is the name, and no record.
    Empty,
    ServerFailure,
    NoSuchName,
}

#[derive(Debug)]
struct State {
    mood: Mutex<Mood>,
    records: Mutex<HashMap<(Name, RecordType), Vec<RData>>>,
    /// Names of which it knows nothing but that it cannot tell.
    failing: Mutex<Vec<Name>>,
    seconds_to_live: u32,
    asked: AtomicU64,
    asked_over_tcp: AtomicU64,
}

/// Answers until the runtime ends.
#[derive(Debug, Clone)]
pub(crate) struct NameServer {
    address: SocketAddr,
    state: Arc<State>,
}

fn name(text: &str) -> Name {
    let mut name = Name::from_utf8(text).unwrap();
    name.set_fqdn(true);
    name
}

impl NameServer {
    /// A server whose records live for so long.
    pub(crate) async fn start(seconds_to_live: u32) -> Self {
        let (datagrams, listener) = loop {
            let datagrams = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
            let address = datagrams.local_addr().unwrap();
            // Somebody else may have the port of the same number.
            if let Ok(listener) = TcpListener::bind(address).await {
                break (datagrams, listener);
            }
        };
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State {
            mood: Mutex::new(Mood::Answers),
            records: Mutex::default(),
            failing: Mutex::default(),
            seconds_to_live,
            asked: AtomicU64::new(0),
            asked_over_tcp: AtomicU64::new(0),
        });
        let server = Self { address, state };
        actix::spawn(server.clone().answer_datagrams(datagrams));
        actix::spawn(server.clone().accept(listener));
        server
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Questions so far.
    pub(crate) fn asked(&self) -> u64 {
        self.state.asked.load(Ordering::SeqCst)
    }

    pub(crate) fn asked_over_tcp(&self) -> u64 {
        self.state.asked_over_tcp.load(Ordering::SeqCst)
    }

    pub(crate) fn set_mood(&self, mood: Mood) {
        *self.state.mood.lock() = mood;
    }

    /// Questions about this name alone fail from now on.
    pub(crate) fn fail_for(&self, host: &str) {
        self.state.failing.lock().push(name(host));
    }

    /// The name has these addresses from now on.
    pub(crate) fn set_addresses(&self, host: &str, addresses: impl IntoIterator<Item = IpAddr>) {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for address in addresses {
            match address {
                IpAddr::V4(address) => v4.push(RData::A(address.into())),
                IpAddr::V6(address) => v6.push(RData::AAAA(address.into())),
            }
        }
        let mut records = self.state.records.lock();
        records.insert((name(host), RecordType::A), v4);
        records.insert((name(host), RecordType::AAAA), v6);
    }

    /// The service has these targets from now on: priority, port, host.
    pub(crate) fn set_service(&self, service: &str, targets: &[(u16, u16, &str)]) {
        let targets = targets
            .iter()
            .map(|&(priority, port, host)| RData::SRV(SRV::new(priority, 1, port, name(host))));
        let mut records = self.state.records.lock();
        records.insert((name(service), RecordType::SRV), targets.collect());
    }

    fn answer(&self, question: &[u8], limit: usize) -> Option<Vec<u8>> {
        let question = Message::from_vec(question).ok()?;
        self.state.asked.fetch_add(1, Ordering::SeqCst);
        let mut answer = Message::response(question.metadata.id, question.metadata.op_code);
        answer.metadata.recursion_desired = true;
        answer.metadata.recursion_available = true;
        answer.queries.clone_from(&question.queries);
        match *self.state.mood.lock() {
            Mood::Empty => {}
            Mood::ServerFailure => answer.metadata.response_code = ResponseCode::ServFail,
            Mood::NoSuchName => answer.metadata.response_code = ResponseCode::NXDomain,
            Mood::Answers => {
                let query = question.queries.first()?;
                let key = (
                    Name::from_utf8(query.name().to_lowercase().to_string()).ok()?,
                    query.query_type(),
                );
                if self.state.failing.lock().contains(&key.0) {
                    answer.metadata.response_code = ResponseCode::ServFail;
                }
                let records = self.state.records.lock();
                let known = match answer.metadata.response_code {
                    ResponseCode::ServFail => None,
                    _ => records.get(&key),
                };
                let known = known.into_iter().flatten();
                answer.add_answers(known.map(|data| {
                    Record::from_rdata(
                        query.name().clone(),
                        self.state.seconds_to_live,
                        data.clone(),
                    )
                }));
            }
        }
        let whole = answer.to_vec().ok()?;
        if whole.len() <= limit {
            return Some(whole);
        }
        answer.answers.clear();
        answer.metadata.truncation = true;
        answer.to_vec().ok()
    }

    async fn answer_datagrams(self, datagrams: UdpSocket) {
        let mut question = [0; 2048];
        while let Ok((length, from)) = datagrams.recv_from(&mut question).await {
            if let Some(answer) = self.answer(&question[..length], UDP_LIMIT) {
                let _ = datagrams.send_to(&answer, from).await;
            }
        }
    }

    async fn accept(self, listener: TcpListener) {
        while let Ok((stream, _)) = listener.accept().await {
            actix::spawn(self.clone().answer_stream(stream));
        }
    }

    async fn answer_stream(self, mut stream: TcpStream) {
        while let Ok(length) = stream.read_u16().await {
            let mut question = vec![0; length.into()];
            if stream.read_exact(&mut question).await.is_err() {
                return;
            }
            self.state.asked_over_tcp.fetch_add(1, Ordering::SeqCst);
            let Some(answer) = self.answer(&question, usize::from(u16::MAX)) else {
                return;
            };
            let length = answer.len() as u16;
            if stream.write_u16(length).await.is_err() || stream.write_all(&answer).await.is_err() {
                return;
            }
        }
    }
}
