//! What an idle connection costs: the sum of everything that one WebSocket client with one channel keeps between
//! messages. ARCHITECTURE.md lists the same sum.

use std::{mem::size_of, sync::Arc};

use wharf_core::{
    hub::Member,
    session::{Session, Subscription},
};
use wharf_proto::{
    dialect::DialectId,
    message::{Channel, ClientInfo},
    websocket::WebsocketDeframer,
    wire::WireId,
};

use super::{connection::Connection, slab::Slab};
use crate::transport::tcp::TcpTransport;

/// PRODUCT: an idle connection costs half a kilobyte of user memory.
const BUDGET_BYTES: usize = 512;

/// The allocator's own word, and what rounding up to 16 costs.
fn allocated(bytes: usize) -> usize {
    (bytes + size_of::<usize>()).next_multiple_of(16).max(32)
}

fn parts() -> Vec<(&'static str, usize)> {
    const REFERENCE_COUNTS: usize = 2 * size_of::<usize>();
    vec![
        ("Connection, in its slot of the slab", Slab::<Connection>::SLOT_BYTES),
        ("transport, boxed (TCP)", allocated(size_of::<TcpTransport>())),
        ("deframer, boxed (WebSocket)", allocated(size_of::<WebsocketDeframer>())),
        ("conversation, boxed (Centrifuge JSON keeps nothing)", 0),
        ("outbox (empty: a pointer in the Connection)", 0),
        ("Subscription, in a vector of one", allocated(size_of::<Subscription>())),
        (
            "ClientInfo, shared by all who name the client",
            allocated(size_of::<ClientInfo>() + REFERENCE_COUNTS),
        ),
        ("Member, in the channel's vector", size_of::<Member>()),
        ("presence entry, with the table's byte and its slack", (16 + 1) * 8 / 7),
        ("entry in the timer wheel", size_of::<u64>()),
    ]
}

#[test]
fn an_idle_connection_costs_at_most_half_a_kilobyte() {
    let conversation =
        WireId::new(DialectId::CentrifugeJson, wharf_proto::framing::FramingId::Websocket).dialect().open();
    assert_eq!(size_of_val(&*conversation), 0, "a box of nothing takes no memory");
    let sum: usize = parts().iter().map(|(_, bytes)| bytes).sum();
    let table: String = parts().iter().map(|(part, bytes)| format!("| {part} | {bytes} |\n")).collect();
    println!("{table}| sum | {sum} |");
    println!(
        "Connection {} (of it Session {}), Channel {}, Arc<ClientInfo> {}",
        size_of::<Connection>(),
        size_of::<Session>(),
        size_of::<Channel>(),
        size_of::<Arc<ClientInfo>>()
    );
    assert!(sum <= BUDGET_BYTES, "{sum} bytes:\n{table}");
    assert!(size_of::<Connection>() <= 192, "{}", size_of::<Connection>());
}
