use super::*;

#[test]
fn what_is_left_is_told_in_one_unit() {
    for (seconds, text) in [
        (-1, "<invalid>"),
        (0, "0s"),
        (59, "59s"),
        (60, "1m"),
        (3599, "59m"),
        (7200, "2h"),
        (DAY - 1, "23h"),
        (364 * DAY + 5, "364d"),
        (365 * DAY, "1y"),
        (3650 * DAY, "10y"),
    ] {
        assert_eq!(short(seconds), text);
    }
}

#[test]
fn what_is_soon_depends_on_the_life() {
    for (life, age, soon, expected) in [
        (365, -1, SOON, State::NotYetValid),
        (365, 0, SOON, State::Valid),
        (365, 334, SOON, State::Valid),
        (365, 335, SOON, State::ExpiresSoon),
        (365, 365, SOON, State::ExpiresSoon),
        (365, 366, SOON, State::Expired),
        (30, 19, SOON, State::Valid),
        (30, 20, SOON, State::ExpiresSoon),
        (3650, 3284, SOON_FOR_AUTHORITIES, State::Valid),
        (3650, 3285, SOON_FOR_AUTHORITIES, State::ExpiresSoon),
    ] {
        assert_eq!(state(0, life * DAY, age * DAY, soon), expected, "{age} of {life} days");
    }
}

#[test]
fn a_summary_has_the_state_and_then_the_problems() {
    let mut expiration = Expiration::unknown("a", None);
    assert_eq!(expiration.summary(), "ok");
    expiration.state = State::Expired;
    expiration.problems.push("its private key is missing".to_owned());
    assert_eq!(expiration.summary(), "expired; its private key is missing");
    let missing = Expiration { missing: true, ..Expiration::unknown("a", None) };
    assert_eq!(missing.summary(), "");
}
