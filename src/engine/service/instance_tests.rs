use super::*;

const SECOND: Duration = Duration::from_secs(1);

/// An instance that is offered.
fn ready(now: Instant) -> Instance {
    let mut instance = Instance::new(now);
    let up = Some(InstanceChange::Up(InstanceUp::Offered));
    assert_eq!(instance.handle_offered(), up);
    instance
}

fn left_out_for_silence(now: Instant) -> Instance {
    let mut instance = ready(now);
    let down = Some(InstanceChange::Down(InstanceDown::Silent));
    assert_eq!(instance.handle_timeout(now, Silence::Silent), down);
    instance
}

fn left_out_for_failures(now: Instant) -> Instance {
    let mut instance = ready(now);
    let mut changes: Vec<_> = (0..5)
        .map(|_| instance.handle_timeout(now, Silence::Spoke))
        .collect();
    let down = Some(InstanceChange::Down(InstanceDown::Failing));
    assert_eq!(changes.pop(), Some(down));
    assert_eq!(changes, [None; 4]);
    instance
}

#[test]
fn an_instance_may_be_asked_from_its_offer_to_its_withdrawal() {
    let now = Instant::now();
    assert!(!Instance::new(now).may_be_asked());
    let mut instance = ready(now);
    assert!(instance.may_be_asked());
    assert_eq!(instance.handle_offered(), None);
    let down = Some(InstanceChange::Down(InstanceDown::Withdrawn));
    assert_eq!(instance.handle_withdrawn(now), down);
    assert!(!instance.may_be_asked());
    assert_eq!(instance.handle_disconnected(now), None);
    assert_eq!(instance.state(), InstanceState::Down { since: now });
}

#[test]
fn a_busy_instance_is_ready_when_it_says_so_or_its_time_is_over() {
    let now = Instant::now();
    let mut instance = ready(now);
    let busy = InstanceChange::Busy {
        retry_after: SECOND,
    };
    assert_eq!(instance.handle_busy(now, SECOND), Some(busy));
    assert!(!instance.may_be_asked());
    // It goes on, without another word.
    assert_eq!(instance.handle_busy(now + SECOND / 2, SECOND), None);
    assert_eq!(instance.next_deadline(), Some(now + SECOND * 3 / 2));
    assert_eq!(instance.handle_deadline(now + SECOND), None);
    let up = InstanceChange::Up(InstanceUp::Recovered);
    let due = instance.handle_deadline(now + SECOND * 3 / 2);
    assert_eq!(due, Some(InstanceEffect::Announce(up)));
    assert!(instance.may_be_asked());

    instance.handle_busy(now, SECOND);
    assert_eq!(instance.handle_ready(), Some(up));
    assert_eq!(instance.handle_ready(), None);
}

#[test]
fn no_provider_is_busy_for_longer_than_half_a_minute_at_a_time() {
    let now = Instant::now();
    let mut instance = ready(now);
    instance.handle_busy(now, Duration::from_millis(u32::MAX.into()));
    assert_eq!(instance.next_deadline(), Some(now + SECOND * 30));
}

#[test]
fn a_draining_instance_is_asked_nothing_until_it_is_offered_again() {
    let now = Instant::now();
    let mut instance = ready(now);
    assert_eq!(instance.handle_draining(), Some(InstanceChange::Draining));
    assert_eq!(instance.handle_draining(), None);
    assert_eq!(instance.handle_ready(), None);
    assert_eq!(instance.handle_busy(now, SECOND), None);
    assert_eq!(instance.handle_timeout(now, Silence::Silent), None);
    assert!(!instance.may_be_asked());
    let up = InstanceChange::Up(InstanceUp::Offered);
    assert_eq!(instance.handle_offered(), Some(up));
}

#[test]
fn a_silent_instance_is_left_out_after_one_timeout_and_probed_each_second() {
    let now = Instant::now();
    let mut instance = left_out_for_silence(now);
    assert!(!instance.may_be_asked());
    for probe in 0..3 {
        let due = now + SECOND * probe;
        assert_eq!(instance.next_deadline(), Some(due));
        assert_eq!(instance.handle_deadline(due), Some(InstanceEffect::Probe));
        assert_eq!(instance.handle_deadline(due), None);
    }
    // Others that had been asked before time out, too.
    assert_eq!(instance.handle_timeout(now, Silence::Silent), None);
    assert_eq!(instance.handle_offered(), None);
    let up = InstanceChange::Up(InstanceUp::Heard);
    assert_eq!(instance.handle_heard(), Some(up));
    assert_eq!(instance.handle_heard(), None);
    assert!(instance.may_be_asked());
}

#[test]
fn five_timeouts_in_a_row_leave_out_an_instance_whose_peer_speaks() {
    let now = Instant::now();
    let mut instance = left_out_for_failures(now);
    // A frame of its peer proves nothing here.
    assert_eq!(instance.handle_heard(), None);
    assert!(!instance.may_be_asked());
    let due = instance.handle_deadline(now + SECOND);
    assert_eq!(due, Some(InstanceEffect::Try), "who waits is to look");
    assert!(instance.may_be_asked());
    // A tell that it turned down is no trial, and none goes there before the next.
    assert_eq!(instance.handle_busy(now, SECOND), None);
    assert!(!instance.may_be_asked());
    instance.handle_deadline(now + SECOND * 2);
    instance.handle_asked();
    assert!(!instance.may_be_asked());
    // The trial fails; so does the next, of which nothing is heard; the third is answered.
    let mut now = now + SECOND * 3;
    assert_eq!(instance.handle_timeout(now, Silence::Spoke), None);
    assert_eq!(instance.next_deadline(), Some(now + SECOND));
    now += SECOND;
    instance.handle_deadline(now);
    instance.handle_asked();
    now += SECOND;
    instance.handle_deadline(now);
    assert!(instance.may_be_asked());
    let up = InstanceChange::Up(InstanceUp::Answered);
    assert_eq!(instance.handle_answered(), Some(up));
    assert_eq!(instance.state(), InstanceState::Ready);
}

#[test]
fn an_answer_between_them_begins_the_count_of_failures_anew() {
    let now = Instant::now();
    let mut instance = ready(now);
    for _ in 0..3 {
        for _ in 0..4 {
            assert_eq!(instance.handle_timeout(now, Silence::Spoke), None);
        }
        assert_eq!(instance.handle_answered(), None);
    }
    assert!(instance.may_be_asked());
}

#[test]
fn an_instance_that_was_left_out_is_not_announced_down_again_when_it_goes() {
    let now = Instant::now();
    for mut instance in [left_out_for_silence(now), left_out_for_failures(now)] {
        assert_eq!(instance.handle_disconnected(now), None);
        assert_eq!(instance.state(), InstanceState::Down { since: now });
        let up = InstanceChange::Up(InstanceUp::Offered);
        assert_eq!(instance.handle_offered(), Some(up));
    }
}

#[test]
fn a_second_holder_is_left_out_until_the_name_is_free() {
    let now = Instant::now();
    let mut instance = ready(now);
    let down = InstanceChange::Down(InstanceDown::SecondHolder);
    assert_eq!(instance.handle_second_holder(), Some(down));
    assert_eq!(instance.handle_second_holder(), None);
    assert_eq!(instance.next_deadline(), None);
    assert_eq!(instance.handle_heard(), None);
    assert_eq!(instance.handle_answered(), None);
    assert!(!instance.may_be_asked());
    let up = InstanceChange::Up(InstanceUp::NameFree);
    assert_eq!(instance.handle_name_free(), Some(up));
    assert_eq!(instance.handle_name_free(), None);
}

#[test]
fn a_new_process_begins_as_ready_whatever_the_one_before_was() {
    let now = Instant::now();
    let mut draining = ready(now);
    draining.handle_draining();
    for mut instance in [
        ready(now),
        draining,
        left_out_for_silence(now),
        left_out_for_failures(now),
    ] {
        let up = InstanceChange::Up(InstanceUp::Restarted);
        assert_eq!(instance.handle_restarted(), up);
        // Four failures are forgiven, as at its start.
        for _ in 0..4 {
            assert_eq!(instance.handle_timeout(now, Silence::Spoke), None);
        }
        assert!(instance.may_be_asked());
    }
}
