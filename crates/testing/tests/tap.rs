//! The tap shows what crosses the wire, and disturbs it as told.

mod tpm;

use std::time::{Duration, Instant};

use testing::{Abrmd, Fault, Swtpm, Tap, When};
use tpm::{Client, FLUSH_CONTEXT, GET_RANDOM, READ_CLOCK};

fn get_random(client: &mut Client) -> Vec<u8> {
    client
        .call(0x8001, GET_RANDOM, b"\0\x10")
        .expect("it answers")
}

fn flush_nothing(client: &mut Client) -> Vec<u8> {
    client
        .call(0x8001, FLUSH_CONTEXT, &[0x80, 0, 0, 0])
        .expect("it answers")
}

#[test]
fn commands_are_counted_without_flushes_and_listed_with_them() {
    let swtpm = Swtpm::start();
    let tap = Tap::start(&swtpm);
    let mut client = Client::through(&tap);
    client.read_clock().expect("it answers");
    flush_nothing(&mut client);
    get_random(&mut client);
    assert_eq!(tap.count(), 2);
    assert_eq!(tap.commands(), [READ_CLOCK, FLUSH_CONTEXT, GET_RANDOM]);
    assert_eq!(tap.connections(), 1);
    tap.reset();
    assert_eq!((tap.count(), tap.connections()), (0, 0));
    get_random(&mut client);
    assert_eq!(tap.count(), 1);
}

#[test]
fn what_crossed_the_wire_is_on_record_and_nothing_else() {
    let swtpm = Swtpm::start();
    let tap = Tap::start(&swtpm);
    let mut client = Client::through(&tap);
    let response = get_random(&mut client);
    let random = &response[12..];
    assert_eq!(random.len(), 16);
    assert!(tap.saw(random));
    assert!(tap.saw(b"\0\0\x01\x7b\0\x10")); // the end of the command
    let reversed: Vec<u8> = random.iter().rev().copied().collect();
    assert!(!tap.saw(&reversed));

    let exchanges = tap.exchanges();
    assert_eq!(exchanges.len(), 1);
    assert_eq!(exchanges[0].response, response);
    assert_eq!(exchanges[0].code(), GET_RANDOM);
    assert_eq!(exchanges[0].response_code(), Some(0));
}

/// swtpm serves one connection at a time; a tap must not hide that from a client.
#[test]
fn a_second_connection_waits_until_the_first_ends() {
    let swtpm = Swtpm::start();
    let tap = Tap::start(&swtpm);
    let mut first = Client::through(&tap);
    first.read_clock().expect("it answers");
    let mut second = Client::through(&tap);
    second.send_read_clock();
    assert!(!second.answered_within(Duration::from_millis(100)));
    drop(first);
    assert!(second.answered_within(Duration::from_secs(10)));
}

/// An operation is a connection, so a test of many operations makes many; none may stay open.
#[test]
fn connections_that_have_ended_cost_nothing() {
    let swtpm = Swtpm::start();
    let tap = Tap::start(&swtpm);
    let descriptors = || std::fs::read_dir("/proc/self/fd").expect("Linux").count();
    let before = descriptors();
    for _ in 0..500 {
        Client::through(&tap).read_clock().expect("it answers");
    }
    // The other tests of this program have descriptors as well.
    assert!(descriptors() < before + 400);
    assert_eq!((tap.count(), tap.connections()), (500, 500));
}

#[test]
fn a_delay_delays_every_command() {
    let swtpm = Swtpm::start();
    let tap = Tap::start(&swtpm);
    let delay = Duration::from_millis(60);
    tap.inject(When::Always, Fault::Delay(delay));
    let mut client = Client::through(&tap);
    let start = Instant::now();
    client.read_clock().expect("it answers");
    get_random(&mut client);
    assert!(start.elapsed() >= 2 * delay);
    tap.clear_faults();
    client.read_clock().expect("it answers");
    assert_eq!(tap.count(), 3);
}

#[test]
fn a_cut_reply_ends_after_so_many_bytes() {
    let swtpm = Swtpm::start();
    let tap = Tap::start(&swtpm);
    for bytes in [0, 1, 9, 10, 27] {
        tap.inject(When::Next(READ_CLOCK), Fault::CutReply(bytes));
        let mut client = Client::through(&tap);
        client.send_read_clock();
        assert_eq!(client.rest().len(), bytes);
        // The TPM did execute the command, and serves the next client.
        let exchanges = tap.exchanges();
        let last = exchanges.last().expect("there was one");
        assert_eq!((last.response.len(), last.response_code()), (35, Some(0)));
        Client::through(&tap)
            .read_clock()
            .expect("the fault was for one command");
    }
}

#[test]
fn a_cut_request_gets_no_answer() {
    let swtpm = Swtpm::start();
    let tap = Tap::start(&swtpm);
    for bytes in [0, 5, 9] {
        tap.inject(When::Next(READ_CLOCK), Fault::CutRequest(bytes));
        let mut client = Client::through(&tap);
        client.send_read_clock();
        assert!(client.rest().is_empty());
        let exchanges = tap.exchanges();
        let last = exchanges.last().expect("there was one");
        assert_eq!((last.command.len(), last.response_code()), (10, None));
        Client::through(&tap)
            .read_clock()
            .expect("the TPM serves the next client");
    }
}

#[test]
fn a_garbled_byte_reaches_the_client_and_not_the_record() {
    let swtpm = Swtpm::start();
    let tap = Tap::start(&swtpm);
    let mut client = Client::through(&tap);
    for (offset, index) in [(14, 14), (-1, 27)] {
        tap.inject(When::Next(GET_RANDOM), Fault::Garble(offset));
        let garbled = get_random(&mut client);
        let exchanges = tap.exchanges();
        let plain = &exchanges.last().expect("there was one").response;
        let differing: Vec<usize> = (0..28).filter(|&i| plain[i] != garbled[i]).collect();
        assert_eq!(differing, [index]);
    }
}

#[test]
fn a_chosen_answer_comes_instead_of_the_tpms() {
    let swtpm = Swtpm::start();
    let tap = Tap::start(&swtpm);
    tap.inject(When::Command(GET_RANDOM), Fault::Answer(0x922));
    let mut client = Client::through(&tap);
    for _ in 0..2 {
        assert_eq!(get_random(&mut client), b"\x80\x01\0\0\0\x0a\0\0\x09\x22");
        client.read_clock().expect("other commands pass");
    }
    assert!(tap.exchanges().iter().all(|exchange| {
        exchange.response_code() == (exchange.code() == READ_CLOCK).then_some(0)
    }));
}

#[test]
fn the_nth_command_is_counted_from_the_injection_on() {
    let swtpm = Swtpm::start();
    let tap = Tap::start(&swtpm);
    let mut client = Client::through(&tap);
    client.read_clock().expect("it answers");
    tap.inject(When::Nth(2), Fault::Answer(0x101));
    let failed: Vec<bool> = (0..5)
        .map(|_| client.read_clock().expect("it answers")[6..10] == [0, 0, 1, 1])
        .collect();
    assert_eq!(failed, [false, false, true, false, false]);
}

#[test]
fn silence_lasts_until_the_client_hangs_up() {
    let swtpm = Swtpm::start();
    let tap = Tap::start(&swtpm);
    tap.inject(When::Next(READ_CLOCK), Fault::Silence);
    let mut client = Client::through(&tap);
    client.send_read_clock();
    assert!(!client.answered_within(Duration::from_millis(100)));
    drop(client);
    Client::through(&tap)
        .read_clock()
        .expect("the TPM serves the next client");
}

#[test]
fn a_tap_is_dropped_while_a_client_is_connected() {
    let swtpm = Swtpm::start();
    let tap = Tap::start(&swtpm);
    tap.inject(When::Always, Fault::Silence);
    let mut waiting = Client::through(&tap);
    waiting.send_read_clock();
    let port = tap.port();
    drop(tap);
    assert!(waiting.rest().is_empty());
    assert!(Client::try_connect(port).is_err());
}

/// libtss2 needs the control port as well, so a resource manager in between proves that it is relayed.
#[test]
fn a_resource_manager_works_through_a_tap() {
    let swtpm = Swtpm::start();
    let tap = Tap::start(&swtpm);
    let abrmd = Abrmd::behind(&tap);
    // It is on its bus, and lets clients wait, before it has looked at its TPM.
    testing::eventually(|| tap.count() > 0);
    assert_eq!(
        abrmd.tcti(),
        "tabrmd:bus_name=com.intel.tss2.Tabrmd,bus_type=session"
    );
}

#[test]
fn a_pace_makes_what_it_is_for_slower_and_changes_nothing() {
    const SLOW: Duration = Duration::from_millis(150);
    fn pace(exchange: &testing::Exchange) -> Duration {
        assert_eq!(exchange.response_code(), Some(0));
        match exchange.code() {
            GET_RANDOM => SLOW,
            _ => Duration::ZERO,
        }
    }
    let swtpm = Swtpm::start();
    let tap = Tap::start(&swtpm);
    let mut client = Client::through(&tap);
    tap.set_pace(Some(pace));
    let start = Instant::now();
    assert_eq!(get_random(&mut client).len(), 28);
    assert!(start.elapsed() >= SLOW);
    client.read_clock().expect("it answers");
    tap.set_pace(None);
    assert_eq!(get_random(&mut client).len(), 28);
    assert_eq!(tap.count(), 3);
}
