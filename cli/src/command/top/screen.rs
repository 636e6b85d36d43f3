//! Draws the live view.

use actix_aiomsg::inspection::{Peer, Report};
use ratatui::Frame;
use ratatui::layout::{Alignment, Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Clear, Paragraph, Row, Sparkline, Table, TableState, Wrap};

use super::details::draw_peer;
use super::diagnose::{Severity, count, seconds, short_peer, short_type};
use super::peer_row::{PeerRow, count_of};
use super::state::{State, Watched};
use crate::payload_text::harmless;

/// Rows of the screen from which on the log is shown.
const TALL: u16 = 30;

/// Diagnoses that are shown at a time.
const DIAGNOSES: usize = 6;

/// Colours, or none of them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Theme {
    colours: bool,
}

impl Theme {
    /// None where `NO_COLOR` is set.
    pub(super) fn of_environment() -> Self {
        let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self { colours: !unwanted }
    }

    fn colour(self, colour: Color) -> Style {
        match self.colours {
            true => Style::new().fg(colour),
            false => Style::new(),
        }
    }

    pub(super) fn title(self) -> Style {
        self.colour(Color::Cyan).add_modifier(Modifier::BOLD)
    }

    pub(super) fn faint(self) -> Style {
        self.colour(Color::DarkGray)
    }

    pub(super) fn bars(self) -> Style {
        self.colour(Color::Green)
    }

    fn good(self) -> Style {
        self.colour(Color::Green)
    }

    pub(super) fn of(self, severity: Severity) -> Style {
        match severity {
            Severity::Warning => self.colour(Color::Yellow),
            Severity::Critical => self.colour(Color::Red).add_modifier(Modifier::BOLD),
        }
    }

    pub(super) fn block(self, title: impl Into<String>) -> Block<'static> {
        let title = Span::styled(format!(" {} ", title.into()), self.title());
        Block::bordered().border_style(self.faint()).title(title)
    }
}

/// Draws everything.
pub(super) fn draw(frame: &mut Frame<'_>, state: &State, theme: Theme) {
    let watched = state.current();
    let diagnoses = watched.diagnoses.len().clamp(1, DIAGNOSES) as u16 + 2;
    let log = if frame.area().height >= TALL { 7 } else { 0 };
    let [header, wrong, rates, peers, parts, events, footer] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(diagnoses),
        Constraint::Length(5),
        Constraint::Fill(1),
        Constraint::Length(7),
        Constraint::Length(log),
        Constraint::Length(1),
    ])
    .areas(frame.area());
    frame.render_widget(header_line(state, theme), header);
    frame.render_widget(footer_line(state, theme), footer);
    match &watched.report {
        None => draw_nothing(frame, watched, theme),
        Some(report) => {
            draw_diagnoses(frame, wrong, watched, theme);
            draw_rates(frame, rates, watched, report, theme);
            draw_parts(frame, parts, report, theme);
            draw_log(frame, events, report, theme);
            match &state.peer {
                Some(peer) => draw_peer(frame, peers, watched, peer, theme),
                None => draw_peers(frame, peers, state, theme),
            }
        }
    }
    if state.help {
        draw_help(frame, theme);
    }
}

fn header_line(state: &State, theme: Theme) -> Line<'static> {
    let watched = state.current();
    let mut spans = vec![Span::styled("aiomsg top", theme.title())];
    if state.watched.len() > 1 {
        spans.push(format!(" {}/{}", state.shown + 1, state.watched.len()).into());
    }
    match &watched.report {
        None => spans.push(format!("  {}", watched.place).into()),
        Some(report) => {
            let name = report.name.clone().unwrap_or_else(|| watched.place.clone());
            let program = report.program.file_name().unwrap_or_default();
            spans.push(Span::raw(harmless(&format!(
                "  {name} ({}, process {}) {} up {}, {} peers",
                program.to_string_lossy(),
                report.process,
                short_peer(&report.identity),
                seconds(report.uptime),
                report.peers.len() + report.peers_left_out,
            ))));
            if report.phase != "open" {
                let style = theme.of(Severity::Critical);
                spans.push(Span::styled(format!(", {}", report.phase), style));
            }
        }
    }
    if let Some(why) = &watched.gone {
        let style = theme
            .of(Severity::Critical)
            .add_modifier(Modifier::REVERSED);
        spans.push(Span::styled(format!(" {} ", harmless(why)), style));
    }
    if state.paused {
        spans.push(Span::styled(
            " paused ",
            Style::new().add_modifier(Modifier::REVERSED),
        ));
    }
    Line::from(spans)
}

fn footer_line(state: &State, theme: Theme) -> Line<'static> {
    if state.typing {
        return Line::from(format!(
            "filter: {}▏  Enter keeps it, Esc clears it",
            state.filter
        ));
    }
    let mut text =
        "q quit  ↑↓ select  Enter look closely  s sort  r reverse  / filter  p pause  ? help"
            .to_owned();
    if state.watched.len() > 1 {
        text += "  Tab next socket";
    }
    Line::styled(text, theme.faint())
}

fn draw_nothing(frame: &mut Frame<'_>, watched: &Watched, theme: Theme) {
    let text = match &watched.gone {
        None => "waiting for the first report".to_owned(),
        Some(why) => harmless(why),
    };
    let [_, middle, _] = Layout::vertical([
        Constraint::Fill(1),
        Constraint::Length(3),
        Constraint::Fill(1),
    ])
    .areas(frame.area());
    let text = Paragraph::new(text).alignment(Alignment::Center);
    frame.render_widget(text.block(theme.block(watched.place.clone())), middle);
}

fn draw_diagnoses(frame: &mut Frame<'_>, area: Rect, watched: &Watched, theme: Theme) {
    let found = &watched.diagnoses;
    let mut lines: Vec<Line<'_>> = found
        .iter()
        .take(DIAGNOSES)
        .map(|found| {
            Line::styled(
                format!("● {}", harmless(&found.text)),
                theme.of(found.severity),
            )
        })
        .collect();
    if lines.is_empty() {
        lines.push(Line::styled("● nothing is wrong", theme.good()));
    }
    let title = match found.len() {
        0..=DIAGNOSES => "Diagnosis".to_owned(),
        more => format!("Diagnosis, {DIAGNOSES} of {more}"),
    };
    frame.render_widget(Paragraph::new(lines).block(theme.block(title)), area);
}

fn draw_rates(frame: &mut Frame<'_>, area: Rect, watched: &Watched, report: &Report, theme: Theme) {
    let [sent, received, queues] = Layout::horizontal([
        Constraint::Fill(1),
        Constraint::Fill(1),
        Constraint::Length(44),
    ])
    .areas(area);
    for (area, name, rate, kept) in [
        (sent, "sent", watched.rates.sent, &watched.sent),
        (
            received,
            "received",
            watched.rates.received,
            &watched.received,
        ),
    ] {
        let block = theme.block(format!("{name} {}/s", count(rate)));
        draw_sparkline(frame, area, block, kept, theme);
    }
    let total = |name: &str| count_of(report.totals.get(name).copied().unwrap_or_default());
    let lost: Vec<_> = report
        .dead_letters
        .iter()
        .map(|(reason, lost)| format!("{lost} {}", reason.replace('_', " ")))
        .collect();
    let lost = if lost.is_empty() {
        "none".to_owned()
    } else {
        lost.join(", ")
    };
    let lines = vec![
        Line::from(format!(
            "queued {}  in flight {}  inbox {}",
            total("queued_messages"),
            total("unacknowledged"),
            total("inbox_messages")
        )),
        Line::from(format!(
            "outbox {}  asks {}  resent {}  joins {}",
            total("outbox_messages"),
            total("asks"),
            total("resent"),
            total("joins")
        )),
        Line::from(format!("dead letters: {lost}")),
    ];
    frame.render_widget(Paragraph::new(lines).block(theme.block("totals")), queues);
}

/// The latest at the right.
pub(super) fn draw_sparkline<'a>(
    frame: &mut Frame<'_>,
    area: Rect,
    block: Block<'_>,
    kept: impl IntoIterator<Item = &'a u64, IntoIter: DoubleEndedIterator>,
    theme: Theme,
) {
    let width = usize::from(block.inner(area).width);
    let mut latest: Vec<u64> = kept.into_iter().rev().take(width).copied().collect();
    latest.resize(width, 0);
    latest.reverse();
    let bars = Sparkline::default().data(latest).style(theme.bars());
    frame.render_widget(bars.block(block), area);
}

fn draw_peers(frame: &mut Frame<'_>, area: Rect, state: &State, theme: Theme) {
    let watched = state.current();
    let peers = state.peers();
    let rows = peers.iter().map(|peer| table_row(peer, watched, theme));
    let widths = [
        Constraint::Length(13),
        Constraint::Fill(1),
        Constraint::Length(6),
        Constraint::Length(7),
        Constraint::Length(8),
        Constraint::Length(7),
        Constraint::Length(12),
        Constraint::Length(9),
        Constraint::Length(8),
        Constraint::Length(8),
        Constraint::Length(9),
    ];
    let head = [
        "peer",
        "address",
        "via",
        "we are",
        "up",
        "heard",
        "queue",
        "in flight",
        "sent/s",
        "resent",
        "handled/s",
    ];
    let mut title = format!("peers, by {}", state.sort.name());
    if state.reversed {
        title += ", reversed";
    }
    if !state.filter.is_empty() {
        title += &format!(", with {:?}", state.filter);
    }
    if let Some(Report {
        peers_left_out: more @ 1..,
        ..
    }) = watched.report
    {
        title += &format!("; {more} are left out");
    }
    let table = Table::new(rows, widths)
        .header(Row::new(head).style(theme.faint()))
        .row_highlight_style(Style::new().add_modifier(Modifier::REVERSED))
        .block(theme.block(title));
    let mut selection = TableState::default().with_selected(Some(state.selected));
    frame.render_stateful_widget(table, area, &mut selection);
}

fn table_row(peer: &Peer, watched: &Watched, theme: Theme) -> Row<'static> {
    let about = |found: &&super::diagnose::Diagnosis| found.peer.as_ref() == Some(&peer.peer);
    let worst = watched
        .diagnoses
        .iter()
        .filter(about)
        .map(|found| found.severity)
        .max();
    let style = worst.map_or_else(Style::new, |severity| theme.of(severity));
    let row = PeerRow::of(peer, &watched.rates);
    Row::new([
        row.peer,
        row.address,
        row.transport,
        row.role,
        row.uptime,
        row.last_heard,
        row.queue,
        row.in_flight,
        row.sent,
        row.resent,
        row.handled,
    ])
    .style(style)
}

fn draw_parts(frame: &mut Frame<'_>, area: Rect, report: &Report, theme: Theme) {
    let [handlers, services, children] = Layout::horizontal([
        Constraint::Fill(1),
        Constraint::Fill(1),
        Constraint::Fill(1),
    ])
    .areas(area);
    let mut lines: Vec<String> = Vec::new();
    for handler in &report.handlers {
        let running = match (handler.running_for, handler.paused) {
            (_, true) => ", paused".to_owned(),
            (Some(time), _) => format!(", running {}", seconds(time)),
            (None, false) => String::new(),
        };
        lines.push(format!(
            "{}: {} taken, {} wait{running}",
            short_type(&handler.actor),
            count_of(handler.taken),
            count_of(handler.waiting)
        ));
    }
    draw_list(frame, handlers, lines, "handlers", theme);
    let mut lines: Vec<String> = Vec::new();
    for offer in &report.offers {
        lines.push(format!(
            "{} is offered: {} wait, {} refused",
            offer.service,
            count_of(offer.waiting),
            count_of(offer.refused)
        ));
    }
    for service in &report.services {
        for instance in &service.instances {
            lines.push(format!(
                "{}: {} {}, {} asks",
                service.service,
                short_peer(&instance.instance),
                instance.status.replace('_', " "),
                instance.outstanding
            ));
        }
        if service.instances.is_empty() {
            lines.push(format!("{}: nobody offers it", service.service));
        }
    }
    draw_list(frame, services, lines, "services", theme);
    let mut listed: Vec<_> = report.children.iter().collect();
    // Those that were restarted first.
    listed.sort_by_key(|child| std::cmp::Reverse((child.recent_restarts, child.restarts)));
    let lines = listed.into_iter().map(|child| {
        let restarts = match (child.restarts, child.recent_restarts) {
            (0, _) => String::new(),
            (restarts, 0) => format!(", {restarts} restarts"),
            (_, recent) => format!(", restart {recent} of {}", child.max_restarts),
        };
        format!("{}: {}{restarts}", short_type(&child.name), child.state)
    });
    draw_list(frame, children, lines.collect(), "supervised", theme);
}

fn draw_list(frame: &mut Frame<'_>, area: Rect, lines: Vec<String>, title: &str, theme: Theme) {
    let room = usize::from(area.height.saturating_sub(2));
    let title = match lines.len() > room {
        true => format!("{title}, {room} of {}", lines.len()),
        false => title.to_owned(),
    };
    let shown = lines
        .iter()
        .take(room)
        .map(|line| Line::from(harmless(line)));
    let text = Paragraph::new(shown.collect::<Vec<_>>());
    frame.render_widget(text.block(theme.block(title)), area);
}

fn draw_log(frame: &mut Frame<'_>, area: Rect, report: &Report, theme: Theme) {
    if area.height == 0 {
        return;
    }
    let room = usize::from(area.height.saturating_sub(2));
    let first = report.log.len().saturating_sub(room);
    let lines = report.log[first..].iter().map(|line| {
        let time = Span::styled(format!("{} ", time_of_day(line.at)), theme.faint());
        Line::from(vec![time, harmless(&line.text).into()])
    });
    let text = Paragraph::new(lines.collect::<Vec<_>>());
    frame.render_widget(text.block(theme.block("events")), area);
}

/// `14:02:59`, in UTC.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "no time is before 1970"
)]
pub(super) fn time_of_day(at: f64) -> String {
    let second = at as u64 % 86_400;
    format!(
        "{:02}:{:02}:{:02}",
        second / 3_600,
        second / 60 % 60,
        second % 60
    )
}

const HELP: &str = "\
↑ ↓ j k     select a peer            Enter  look at it closely
s           sort by the next column  r      reverse the order
/           filter by identity, address, transport or role
p, space    pause                    Tab    the next socket
q, Ctrl-C   quit                     Esc    back, then quit

queue       messages that wait to be written, and how much of the bound of the link that is
in flight   messages that wait for their acknowledgement
sent/s      messages that were handed to the system for the peer
handled/s   messages of the peer that handlers here were through with
";

fn draw_help(frame: &mut Frame<'_>, theme: Theme) {
    let area = frame.area();
    let (width, height) = (area.width.min(96), area.height.min(13));
    let place = Rect {
        x: (area.width - width) / 2,
        y: (area.height - height) / 2,
        width,
        height,
    };
    frame.render_widget(Clear, place);
    let text = Paragraph::new(HELP).wrap(Wrap { trim: false });
    frame.render_widget(text.block(theme.block("help: any key goes back")), place);
}

#[cfg(test)]
mod tests {
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    use super::super::demo::Demo;
    use super::super::source::Reports;
    use super::*;

    fn state(change: impl Fn(&mut Report)) -> State {
        let mut demo = Demo::without_pauses();
        let mut state = State {
            watched: vec![Watched::new("orders.sock".into())],
            ..State::default()
        };
        for _ in 0..3 {
            let mut report = demo.next().unwrap();
            change(&mut report);
            state.handle_report(0, Ok(report));
        }
        state
    }

    fn drawn(state: &State, width: u16, height: u16) -> (String, Vec<Color>) {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        let theme = Theme { colours: true };
        terminal.draw(|frame| draw(frame, state, theme)).unwrap();
        let buffer = terminal.backend().buffer().clone();
        let mut text = String::new();
        for row in buffer.content().chunks(usize::from(width)) {
            text.extend(row.iter().map(ratatui::buffer::Cell::symbol));
            text.push('\n');
        }
        let colours = buffer.content().iter().map(|cell| cell.fg).collect();
        (text, colours)
    }

    #[test]
    fn the_screen_has_peers_diagnoses_handlers_services_restarts_and_events() {
        let (text, _) = drawn(&state(|_| {}), 160, 40);
        for part in [
            "link full for",
            "handler Jobs: running for",
            "cache: restart",
            "10.0.4.17:48122",
            "99 %",
            "Jobs: 812 taken",
            "stock is offered",
            "prices:",
            "listening on tcp://0.0.0.0:25000",
            "orders",
            "queued",
            "dead letters: none",
        ] {
            assert!(text.contains(part), "{part}:\n{text}");
        }
    }

    #[test]
    fn any_size_is_drawn_and_what_others_say_steers_no_terminal() {
        let state = state(|report| {
            report.peers[0].address = "\x1b[31mred".to_owned();
            report.unready.push("\x07\u{202e}bell".to_owned());
        });
        for (width, height) in [(1, 1), (20, 5), (80, 24), (300, 90)] {
            let (text, _) = drawn(&state, width, height);
            assert!(!text.contains(['\x1b', '\x07', '\u{202e}']), "{text}");
        }
    }

    #[test]
    fn a_peer_is_looked_at_closely_and_help_stands_above_it() {
        let mut state = state(|_| {});
        let slow = state.peers()[2].peer.clone();
        state.peer = Some(slow.clone());
        let (text, _) = drawn(&state, 140, 40);
        assert!(
            text.contains(&slow) && text.contains("link full for"),
            "{text}"
        );
        state.help = true;
        assert!(drawn(&state, 140, 40).0.contains("any key goes back"));
        state.help = false;
        state.peer = Some("somebody who is gone".to_owned());
        assert!(drawn(&state, 140, 40).0.contains("not connected"));
    }

    #[test]
    fn without_colours_there_are_none() {
        let state = state(|_| {});
        let mut terminal = Terminal::new(TestBackend::new(120, 40)).unwrap();
        let theme = Theme { colours: false };
        terminal.draw(|frame| draw(frame, &state, theme)).unwrap();
        let buffer = terminal.backend().buffer();
        let plain = buffer.content().iter().all(|cell| cell.fg == Color::Reset);
        assert!(plain);
        let (_, colours) = drawn(&state, 120, 40);
        assert!(colours.contains(&Color::Yellow));
    }

    #[test]
    fn a_socket_that_never_answered_or_is_gone_is_told_so() {
        let mut state = State {
            watched: vec![Watched::new("orders.sock".into())],
            ..State::default()
        };
        assert!(
            drawn(&state, 80, 24)
                .0
                .contains("waiting for the first report")
        );
        state.handle_report(0, Err("it is gone".to_owned()));
        assert!(drawn(&state, 80, 24).0.contains("it is gone"));
    }
}
