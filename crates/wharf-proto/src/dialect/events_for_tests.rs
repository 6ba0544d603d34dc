//! The events that the transcripts name: every reply, every push, and the edges of each.

use std::sync::Arc;

use bytes::Bytes;

use crate::{
    Disconnect,
    message::{
        Broadcast, BroadcastBody, Channel, ClientId, ClientInfo, ConnectResult, Data, ErrorReply,
        HistoryResult, Position, PresenceStats, Publication, Push, Reply, ReplyBody, SubscribeResult,
    },
    wire::Event,
};

pub(super) enum Fixture {
    Reply(Reply),
    Push(Push),
}

impl Fixture {
    pub(super) fn as_event(&self) -> Event<'_> {
        match self {
            Self::Reply(reply) => Event::Reply(reply),
            Self::Push(push) => Event::Push(push),
        }
    }
}

pub(super) fn named(name: &str) -> Fixture {
    all().into_iter().find(|(each, _)| *each == name).unwrap_or_else(|| panic!("no event {name}")).1
}

pub(super) fn all() -> Vec<(&'static str, Fixture)> {
    let replies = replies().into_iter().map(|(name, result)| (name, Fixture::Reply(Reply { id: 7, result })));
    replies.chain(pushes().into_iter().map(|(name, push)| (name, Fixture::Push(push)))).collect()
}

fn replies() -> Vec<(&'static str, Result<ReplyBody, ErrorReply>)> {
    vec![
        ("connect_plain", Ok(ReplyBody::Connect(Box::new(connect_plain())))),
        ("connect_with_subs", Ok(ReplyBody::Connect(Box::new(connect_with_subs())))),
        ("connect_to_news", Ok(ReplyBody::Connect(Box::new(connect_to_news())))),
        ("subscribe_plain", Ok(ReplyBody::Subscribe(Box::default()))),
        ("subscribe_positioned", Ok(ReplyBody::Subscribe(Box::new(positioned(7))))),
        ("subscribe_recovered", Ok(ReplyBody::Subscribe(Box::new(recovered())))),
        ("subscribe_lost", Ok(ReplyBody::Subscribe(Box::new(lost())))),
        ("unsubscribe", Ok(ReplyBody::Unsubscribe)),
        ("publish", Ok(ReplyBody::Publish)),
        ("presence", Ok(ReplyBody::Presence(vec![alice(), anonymous()]))),
        ("presence_empty", Ok(ReplyBody::Presence(Vec::new()))),
        ("presence_stats", Ok(ReplyBody::PresenceStats(PresenceStats { num_clients: 2, num_users: 1 }))),
        ("presence_stats_empty", Ok(ReplyBody::PresenceStats(PresenceStats::default()))),
        ("history", Ok(ReplyBody::History(history(vec![by_alice(4), json(5, "null")], 5)))),
        ("history_empty", Ok(ReplyBody::History(history(Vec::new(), 0)))),
        ("rpc", Ok(ReplyBody::Rpc(Data::Json("{\"ok\":true}".into())))),
        ("rpc_without_data", Ok(ReplyBody::Rpc(Data::Json(Bytes::new())))),
        ("rpc_binary", Ok(ReplyBody::Rpc(Data::Binary(Bytes::from_static(&[0, 255]))))),
        ("refresh", Ok(ReplyBody::Refresh)),
        ("sub_refresh", Ok(ReplyBody::SubRefresh)),
        ("error", Err(ErrorReply::ALREADY_SUBSCRIBED)),
        ("error_temporary", Err(ErrorReply::TOO_MANY_REQUESTS)),
        ("error_token_expired", Err(ErrorReply::TOKEN_EXPIRED)),
        ("error_permission", Err(ErrorReply::PERMISSION_DENIED.with_message("no \"chat\"\nfor you"))),
    ]
}

fn pushes() -> Vec<(&'static str, Push)> {
    let ended =
        |code, reason: &'static str| Push::Unsubscribe { channel: news(), code, reason: reason.into() };
    let binary = Publication { data: Data::Binary(Bytes::from_static(&[0, 255])), ..bare(0, "") };
    vec![
        ("publication", published("news", by_alice(8))),
        ("publication_next", published("news", json(9, "\"ü😀\""))),
        ("publication_elsewhere", published("chat:1", json(3, "[1,2]"))),
        ("publication_without_history", broadcast("news", publication_body(json(0, "{}"), false))),
        ("publication_binary", broadcast("news", publication_body(Arc::new(binary), false))),
        ("join", broadcast("news", BroadcastBody::Join(alice()))),
        ("leave", broadcast("news", BroadcastBody::Leave(anonymous()))),
        ("subscribe_push", Push::Subscribe { channel: news(), result: positioned(7) }),
        ("subscribe_push_plain", Push::Subscribe { channel: news(), result: SubscribeResult::default() }),
        ("subscribe_push_recovered", Push::Subscribe { channel: news(), result: recovered() }),
        ("subscribe_push_lost", Push::Subscribe { channel: news(), result: lost() }),
        ("unsubscribe_final", ended(2000, "server unsubscribe")),
        ("unsubscribe_lost", ended(2500, "insufficient state")),
        ("message", Push::Message { data: Data::Json("[\"hello\"]".into()) }),
        ("disconnect", Push::Disconnect(Disconnect::SHUTDOWN)),
        ("ping", Push::Ping),
    ]
}

fn news() -> Channel {
    Channel::parse("news").unwrap()
}

fn position(offset: u64) -> Position {
    Position { offset, epoch: "QwErTyUi".parse().unwrap() }
}

fn alice() -> Arc<ClientInfo> {
    Arc::new(ClientInfo {
        user: "al\"ice\n".into(),
        client: ClientId::from_random(1),
        conn_info: Some(Box::new("{\"name\":\"Alice\"}".into())),
        chan_info: Some(Box::new("[]".into())),
    })
}

fn anonymous() -> Arc<ClientInfo> {
    Arc::new(ClientInfo {
        user: "".into(),
        client: ClientId::from_random(2),
        conn_info: None,
        chan_info: Some(Box::new(Bytes::new())),
    })
}

fn bare(offset: u64, data: &str) -> Publication {
    Publication { data: Data::Json(data.to_owned().into()), info: None, offset, tags: None }
}

fn json(offset: u64, data: &str) -> Arc<Publication> {
    Arc::new(bare(offset, data))
}

fn by_alice(offset: u64) -> Arc<Publication> {
    let tags = vec![("place".into(), "north\tpier".into()), ("\"".into(), "".into())];
    Arc::new(Publication { info: Some(alice()), tags: Some(Arc::new(tags)), ..bare(offset, "{\"n\":1}") })
}

fn publication_body(publication: Arc<Publication>, keeps_history: bool) -> BroadcastBody {
    BroadcastBody::Publication { publication, epoch: keeps_history.then(|| position(0).epoch) }
}

fn broadcast(channel: &str, body: BroadcastBody) -> Push {
    Push::Broadcast(Arc::new(Broadcast { channel: Channel::parse(channel).unwrap(), body }))
}

fn published(channel: &str, publication: Arc<Publication>) -> Push {
    broadcast(channel, publication_body(publication, true))
}

fn history(publications: Vec<Arc<Publication>>, offset: u64) -> HistoryResult {
    HistoryResult { publications, position: position(offset) }
}

fn positioned(offset: u64) -> SubscribeResult {
    SubscribeResult {
        recoverable: true,
        positioned: true,
        position: Some(position(offset)),
        ..Default::default()
    }
}

fn recovered() -> SubscribeResult {
    SubscribeResult {
        publications: vec![by_alice(6), json(7, "null")],
        recovered: true,
        was_recovering: true,
        ..positioned(5)
    }
}

fn lost() -> SubscribeResult {
    SubscribeResult { was_recovering: true, ..positioned(0) }
}

fn connect_plain() -> ConnectResult {
    ConnectResult {
        client: ClientId::from_random(3),
        version: "0.1.0".into(),
        subs: Vec::new(),
        ping_s: 0,
        pong: false,
        session: "".into(),
        node: "".into(),
    }
}

fn connect_with_subs() -> ConnectResult {
    let channel = |name| Channel::parse(name).unwrap();
    ConnectResult {
        subs: vec![
            (channel("news"), recovered()),
            (channel("chat:1"), positioned(2)),
            (channel("say\"hi\""), SubscribeResult::default()),
            (channel("gone"), lost()),
        ],
        ping_s: 25,
        pong: true,
        session: "s3cret".into(),
        node: "n1".into(),
        ..connect_plain()
    }
}

fn connect_to_news() -> ConnectResult {
    ConnectResult { subs: vec![(news(), recovered())], ..connect_plain() }
}
