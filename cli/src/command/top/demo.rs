//! A made-up system that is not well, for a first look and for pictures.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use actix_aiomsg::inspection::{
    Child, FORMAT, Followed, Handler, Instance, LogLine, Offer, Peer, Report,
};

use super::source::Reports;

/// A system whose time goes on with each report.
pub(super) struct Demo {
    step: u32,
    pause: Duration,
    /// The time that goes by between two reports, in seconds.
    passed: f64,
    report: Report,
}

/// The peers: their address, what they read a second, and how much of what is sent to them is sent again, in percent.
const PEERS: [(&str, u64, u64); 5] = [
    ("10.0.4.17:48122", 410, 0),
    ("10.0.4.18:51990", 395, 0),
    ("10.0.4.21:40466", 40, 0),
    ("10.0.5.3:33018", 300, 24),
    ("10.0.5.9:59204", 120, 0),
];

/// The one that does not read fast enough.
const SLOW: usize = 2;

impl Demo {
    pub(super) fn new(pause: Duration) -> Self {
        Self {
            step: 0,
            pause,
            passed: pause.as_secs_f64(),
            report: first(),
        }
    }

    /// A report a second, and nobody waits for it.
    #[cfg(test)]
    pub(super) fn without_pauses() -> Self {
        Self {
            passed: 1.0,
            ..Self::new(Duration::ZERO)
        }
    }
}

impl Reports for Demo {
    fn next(&mut self) -> Result<Report, String> {
        if self.step > 0 {
            std::thread::sleep(self.pause);
        }
        advance(&mut self.report, self.step, self.passed);
        self.step += 1;
        Ok(self.report.clone())
    }
}

fn first() -> Report {
    let mut report = Report::default();
    report.format = FORMAT;
    report.version = env!("CARGO_PKG_VERSION").to_owned();
    report.process = 4711;
    report.program = "shop".into();
    report.name = Some("orders".to_owned());
    report.identity = "5b3a1c9e77d04f6e9a2f0c41d8e6b702".to_owned();
    report.phase = "open".to_owned();
    report.live = true;
    report.uptime = 4_500.0;
    for (number, (address, ..)) in PEERS.iter().enumerate() {
        let mut peer = Peer::default();
        peer.peer = format!(
            "{:032x}",
            (number as u128 + 3) * 0x1234_5678_9abc_def1_0f1e_2d3c_4b5a_6978
        );
        peer.address = (*address).to_owned();
        peer.transport = if number == 3 { "tls" } else { "tcp" }.to_owned();
        peer.role = if number == 4 { "connect" } else { "bind" }.to_owned();
        peer.uptime = 4_400.0 - 700.0 * number as f64;
        peer.queue_bound = 10_000;
        peer.queue_bound_bytes = 8 << 20;
        report.peers.push(peer);
    }
    report.peers[SLOW].full_for = Some(9.0);
    let mut jobs = Handler::default();
    jobs.actor = "shop::jobs::Jobs".to_owned();
    jobs.subscription = "shop::jobs::Job".to_owned();
    jobs.running_for = Some(1.0);
    jobs.taken = 812;
    let mut mail = Handler::default();
    mail.actor = "shop::mail::Mail".to_owned();
    mail.subscription = "shop::mail::Letter".to_owned();
    report.handlers = vec![jobs, mail];
    let mut offer = Offer::default();
    (offer.service, offer.instance) = ("stock".to_owned(), report.identity.clone());
    report.offers = vec![offer];
    let instances = report.peers.iter().take(2).map(|peer| {
        let mut instance = Instance::default();
        (instance.instance, instance.peer) = (peer.peer.clone(), peer.peer.clone());
        instance.status = "ready".to_owned();
        instance
    });
    let mut prices = Followed::default();
    (prices.service, prices.instances) = ("prices".to_owned(), instances.collect());
    report.services = vec![prices];
    report.children = ["socket", "router", "listener", "cache"].map(child).into();
    let up = format!("peer {} up, 10.0.5.9:59204 over tcp", report.peers[4].peer);
    report.log = vec![line("listening on tcp://0.0.0.0:25000"), line(&up)];
    report
}

fn child(name: &str) -> Child {
    let mut child = Child::default();
    child.name = name.to_owned();
    child.state = "running".to_owned();
    child.uptime = Some(4_500.0);
    child
}

fn line(text: &str) -> LogLine {
    let mut line = LogLine::default();
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    line.at = now.unwrap_or_default().as_secs_f64();
    line.text = text.to_owned();
    line
}

/// Time goes on, by so many seconds.
fn advance(report: &mut Report, step: u32, passed: f64) {
    let wave = u64::from(step % 12).abs_diff(6);
    report.uptime += passed;
    let mut total = [0; 3];
    for (number, (peer, (_, rate, resent))) in report.peers.iter_mut().zip(PEERS).enumerate() {
        let part = |rate: u64| {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_precision_loss,
                clippy::cast_sign_loss,
                reason = "it is made up"
            )]
            let part = (rate as f64 * passed) as u64;
            part
        };
        let sent = part(rate + if number == SLOW { 0 } else { 15 * wave });
        let again = sent * resent / 100;
        peer.sent += sent + again;
        peer.resent += again;
        peer.acknowledged += sent;
        peer.handled += part(60 + 5 * wave);
        peer.uptime += passed;
        peer.last_heard = 0.2 + 0.3 * number as f64;
        peer.in_flight = 20 + 3 * wave + again;
        peer.queued = if number == SLOW { 9_990 } else { 12 * wave };
        peer.queued_bytes = 256 * peer.queued;
        if let Some(full) = &mut peer.full_for {
            *full += passed;
        }
        total[0] += sent + again;
        total[1] += again;
        total[2] += part(60 + 5 * wave);
    }
    let queued = report.peers.iter().map(|peer| peer.queued).sum();
    let in_flight = report.peers.iter().map(|peer| peer.in_flight).sum();
    for (name, more) in [
        ("sent", total[0]),
        ("resent", total[1]),
        ("received", total[2]),
    ] {
        *report.totals.entry(name.to_owned()).or_default() += more;
    }
    for (name, now) in [
        ("queued_messages", queued),
        ("unacknowledged", in_flight),
        ("inbox_messages", 40 + 9 * wave),
        ("asks", wave),
    ] {
        report.totals.insert(name.to_owned(), now);
    }
    let jobs = &mut report.handlers[0];
    jobs.running_for = jobs.running_for.map(|time| time + passed);
    jobs.waiting += 2;
    report.handlers[1].taken += 35 + wave;
    report.offers[0].waiting = wave;
    for instance in &mut report.services[0].instances {
        instance.outstanding = wave / 2;
    }
    // A restart every other second, until one is left; then it holds for a while.
    let cache = &mut report.children[3];
    cache.uptime = Some(f64::from(step % 2) * passed);
    cache.max_restarts = 5;
    cache.restart_window = 10.0;
    cache.last_panic = Some("no connection to the cache".to_owned());
    if step.is_multiple_of(2) && cache.recent_restarts < 4 {
        cache.recent_restarts += 1;
        cache.restarts += 1;
        report
            .log
            .push(line("cache was restarted: no connection to the cache"));
    }
}
