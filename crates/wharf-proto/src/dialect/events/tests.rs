use super::*;
use crate::framing::sse_reader::SseReader;

fn position(offset: u64) -> Position {
    Position { offset, epoch: "QwErTyUi".parse().unwrap() }
}

fn channel(name: &str) -> Channel {
    Channel::parse(name).unwrap()
}

fn publication(name: &str, offset: u64, data: &str) -> Push {
    let data = Data::Json(data.to_owned().into());
    let publication = Arc::new(Publication { data, info: None, offset, tags: None });
    let body = BroadcastBody::Publication { publication, epoch: Some(position(0).epoch) };
    Push::Broadcast(Arc::new(Broadcast { channel: channel(name), body }))
}

fn subscribed(name: &str, offset: u64, was_recovering: bool) -> Push {
    let result = SubscribeResult { position: Some(position(offset)), was_recovering, ..Default::default() };
    Push::Subscribe { channel: channel(name), result }
}

fn said(conversation: &mut dyn Conversation, pushes: &[Push]) -> BytesMut {
    let mut out = BytesMut::new();
    for push in pushes {
        conversation.encode(Event::Push(push), &mut out).unwrap();
    }
    out
}

/// What an EventSource has when the stream is cut after `bytes`: the events it was given, and its cursor.
fn received(bytes: &[u8]) -> (Vec<(String, String)>, Option<Cursor>) {
    let mut reader = SseReader::new(100_000);
    let mut events = Vec::new();
    reader.feed(bytes, &mut |event| events.push((event.event, event.data))).unwrap();
    let cursor = match reader.last_event_id() {
        "" => None,
        id => Some(Cursor::decode(id).unwrap()),
    };
    (events, cursor)
}

#[test]
fn wherever_the_stream_is_cut_the_cursor_covers_exactly_the_events_received() {
    let pushes = [
        subscribed("a", 3, false),
        subscribed("b", 9, false),
        publication("a", 4, "4"),
        publication("b", 10, "10"),
        publication("a", 5, "5"),
    ];
    let stream = said(&mut *EventsMany.open(), &pushes);
    for cut in 0..=stream.len() {
        let (events, cursor) = received(&stream[..cut]);
        for (name, start) in [("a", 3), ("b", 9)] {
            let seen = events.iter().filter(|(event, _)| event == name).count() as u64;
            match cursor.as_ref().and_then(|cursor| cursor.position(name)) {
                Some(held) => assert_eq!(held, position(start + seen), "{name} cut at {cut}"),
                None => assert_eq!(seen, 0, "{name} cut at {cut}"),
            }
        }
    }
}

#[test]
fn a_client_cut_off_before_it_is_told_of_a_loss_comes_back_with_a_place_that_cannot_be_recovered() {
    for dialect in [&EventsOne as &dyn Dialect, &EventsMany] {
        let stream = said(&mut *dialect.open(), &[subscribed("a", 7, true)]);
        let mut cuts_before_the_reset = 0;
        for cut in 0..=stream.len() {
            let (events, cursor) = received(&stream[..cut]);
            let held = cursor.and_then(|cursor| cursor.position("a"));
            if events.is_empty() {
                assert!(held.is_none_or(|held| held.offset == u64::MAX), "cut at {cut}: {held:?}");
                cuts_before_the_reset += usize::from(held.is_some());
            } else {
                assert_eq!(events[0].0, "wharf.reset");
                assert_eq!(held, Some(position(7)));
            }
        }
        assert!(cuts_before_the_reset > 0);
    }
}

// Row 64.
#[test]
fn data_with_line_ends_cannot_make_fields_of_its_own() {
    for dialect in [&EventsOne as &dyn Dialect, &EventsMany] {
        let push = publication("a", 1, "1\r\nid: x\n\nevent: wharf.reset\rdata: y");
        let stream = said(&mut *dialect.open(), &[push]);
        let (events, cursor) = received(&stream);
        assert_eq!(events.len(), 1);
        assert_ne!(events[0].0, "wharf.reset");
        assert_eq!(events[0].1, "1\nid: x\n\nevent: wharf.reset\ndata: y");
        assert_eq!(cursor.unwrap().position("a"), Some(position(1)));
    }
}

#[test]
fn an_event_source_on_one_channel_takes_no_memory_and_shares_bytes() {
    let conversation = EventsOne.open();
    assert_eq!(size_of_val(&*conversation), 0);
    assert!(conversation.shares_broadcasts());
    assert!(!EventsMany.open().shares_broadcasts());
}

#[test]
fn whatever_an_event_source_says_is_no_command() {
    for dialect in [&EventsOne as &dyn Dialect, &EventsMany] {
        let mut commands = Vec::new();
        dialect.open().decode(MessageKind::Text, b"{\"id\":1,\"connect\":{}}", &mut commands).unwrap();
        assert!(commands.is_empty());
    }
}
