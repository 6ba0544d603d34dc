use std::io;

use wharf::{settings::Settings, transport::Transport};
use wharf_proto::message::{Command, Request};

use super::{
    client::{CHANNEL, Client, Way},
    recovery::run,
    world::{Machine, Shape},
};

/// A number that takes so many bytes.
fn wide(number: u64, bytes: usize) -> String {
    format!("{number:>bytes$}")
}

fn settings(outbox_bytes: usize) -> Settings {
    let mut settings = Settings::development();
    settings.limits.outbox_bytes = outbox_bytes;
    settings
}

// Rows 43 and 94.
#[test]
fn one_slow_subscriber_of_a_hot_channel_is_closed_and_the_others_hear_all() {
    for way in [Way::Websocket, Way::Lines, Way::HttpStream, Way::Sse] {
        let mut machine = Machine::plain(3, settings(64 * 1024));
        let mut clients: Vec<Client> =
            (0..4).map(|number| Client::new(way, number % 2).with_capacity(32 * 1024)).collect();
        run(&mut machine, &mut clients, 50);
        clients[0].stuck = true;
        clients[0].returns = false;
        for number in 1..=100 {
            machine.publish(CHANNEL, wide(number, 4_000));
            run(&mut machine, &mut clients, 20);
        }
        assert_eq!(machine.present(CHANNEL), 3, "{way:?}: it has left its channels");
        clients[0].stuck = false;
        run(&mut machine, &mut clients, 100);
        for client in &clients[1..] {
            client.progress.check_whole(100, &format!("{way:?}"));
            assert_eq!(client.connects, 1);
        }
        clients[0].returns = true;
        run(&mut machine, &mut clients, 1_000);
        clients[0].progress.check_whole(100, "the slow one, come back");
    }
}

#[test]
fn who_is_slow_is_told_so() {
    let mut machine = Machine::plain(4, settings(16 * 1024));
    let mut clients = vec![Client::new(Way::Websocket, 0).with_capacity(1_000)];
    run(&mut machine, &mut clients, 50);
    clients[0].returns = false;
    clients[0].stuck = true;
    for number in 1..=20 {
        machine.publish(CHANNEL, wide(number, 2_000));
    }
    run(&mut machine, &mut clients, 5);
    clients[0].stuck = false;
    run(&mut machine, &mut clients, 100);
    assert_eq!(clients[0].closed_with, [3008]);
}

#[test]
fn many_publications_in_one_tick_are_no_slowness_of_the_peers() {
    let mut machine = Machine::plain(5, settings(16 * 1024));
    let mut clients = vec![Client::new(Way::Websocket, 0).with_capacity(1 << 20)];
    run(&mut machine, &mut clients, 50);
    for number in 1..=100 {
        machine.publish(CHANNEL, wide(number, 1_000));
    }
    run(&mut machine, &mut clients, 100);
    clients[0].progress.check_whole(100, "a peer that reads");
    assert_eq!(clients[0].connects, 1);
}

#[test]
fn a_recovery_larger_than_the_outbox_limit_reaches_a_client_that_reads() {
    let mut machine = Machine::plain(6, settings(16 * 1024));
    let mut clients = vec![Client::new(Way::Lines, 0).with_capacity(1_000)];
    run(&mut machine, &mut clients, 50);
    machine.publish(CHANNEL, wide(1, 10));
    run(&mut machine, &mut clients, 50);
    clients[0].hang_up();
    for number in 2..=100 {
        machine.publish(CHANNEL, wide(number, 1_000));
    }
    machine.step();
    run(&mut machine, &mut clients, 5);
    machine.publish(CHANNEL, wide(101, 1_000));
    run(&mut machine, &mut clients, 500);
    clients[0].progress.check_whole(101, "the one that was away");
    assert_eq!(clients[0].connects, 2, "once is enough");
}

#[test]
fn who_asks_for_more_than_it_reads_is_told_to_wait() {
    let mut machine = Machine::plain(7, settings(16 * 1024));
    let mut clients = vec![Client::new(Way::Lines, 0).with_capacity(2_000)];
    run(&mut machine, &mut clients, 50);
    let data = wharf_proto::message::Data::Json(format!("\"{}\"", "x".repeat(10_000)).into());
    let rpc = |id| Command { id, request: Request::Rpc { method: "echo".into(), data: data.clone() } };
    let commands: Vec<Command> = (10..14).map(rpc).collect();
    clients[0].stuck = true;
    commands.iter().for_each(|command| clients[0].send(&machine, std::slice::from_ref(command)));
    run(&mut machine, &mut clients, 50);
    clients[0].stuck = false;
    run(&mut machine, &mut clients, 100);
    assert_eq!((&clients[0].errors[..], clients[0].connects), (&[111, 111][..], 1));
}

#[test]
fn over_the_budget_of_all_outboxes_the_largest_waiters_end() {
    let mut settings = settings(64 * 1024);
    settings.limits.outbox_total_bytes = 100 * 1024;
    let mut machine = Machine::plain(8, settings);
    let mut clients: Vec<Client> = (0..6).map(|_| Client::new(Way::Lines, 0).with_capacity(2_000)).collect();
    run(&mut machine, &mut clients, 50);
    for client in &mut clients {
        client.returns = false;
    }
    // Whoever came to the second worker has a budget of its own there.
    for client in &mut clients[1..] {
        client.stuck = true;
    }
    for number in 1..=12 {
        machine.publish(CHANNEL, wide(number, 4_000));
        run(&mut machine, &mut clients, 5);
    }
    let slow: u64 = 6 - machine.present(CHANNEL) as u64;
    assert!(slow >= 1, "48 KB for each of five is over the budget of one worker or of both");
    run(&mut machine, &mut clients, 50);
    clients[0].progress.check_whole(12, "the one that reads");
    assert_eq!(clients[0].connects, 1);
}

/// Subscribes, takes half of what it is given next, and breaks.
struct BreaksHalfWay {
    said: &'static [u8],
    broken: bool,
}

impl Transport for BreaksHalfWay {
    fn try_read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.said.len();
        into[..count].copy_from_slice(std::mem::take(&mut self.said));
        if count == 0 { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(count) }
    }
    fn try_write(&mut self, slices: &[io::IoSlice<'_>]) -> io::Result<usize> {
        let offered: usize = slices.iter().map(|slice| slice.len()).sum();
        if self.broken {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        if offered < 1_000 {
            return Ok(offered); // Replies.
        }
        self.broken = true;
        Ok(offered - 1)
    }
    fn source(&mut self) -> Option<&mut dyn mio::event::Source> {
        None
    }
    fn close(&mut self) {}
    fn name(&self) -> &'static str {
        "breaks half way"
    }
}

#[test]
fn bytes_that_were_written_before_a_connection_broke_do_not_count_for_ever() {
    let mut settings = settings(64 * 1024);
    settings.limits.outbox_total_bytes = 30 * 1024;
    let mut machine = Machine::plain(9, settings);
    let said = concat!(r#"{"id":1,"connect":{}}"#, "\n", r#"{"id":2,"subscribe":{"channel":"news"}}"#, "\n");
    for number in 1..=20 {
        let transport = BreaksHalfWay { said: said.as_bytes(), broken: false };
        machine.attach(0, Box::new(transport), Shape::lines());
        machine.steps(2);
        assert_eq!(machine.present(CHANNEL), 1);
        machine.publish(CHANNEL, wide(number, 2_000));
        machine.steps(2);
        assert_eq!(machine.connections(), 0, "it broke");
    }
    let mut clients = vec![Client::new(Way::Lines, 0), Client::new(Way::Lines, 0)];
    for client in &mut clients {
        client.dial_to(&mut machine, 0);
    }
    run(&mut machine, &mut clients, 50);
    machine.publish(CHANNEL, wide(21, 2_000));
    run(&mut machine, &mut clients, 50);
    for client in &clients {
        assert_eq!((client.connects, &client.closed_with[..]), (1, &[][..]));
    }
}
