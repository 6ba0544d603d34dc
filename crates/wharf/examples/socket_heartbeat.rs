//! Heartbeats in any format: one side asks, the other answers, and neither program sees any of it.
use std::time::Duration;
use wharf::socket::{Heartbeat, Listener, Socket};
use wharf_proto::framing::Lines;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let asks = Heartbeat::every(Duration::from_millis(100))
        .saying_with(|number| format!("PING {number}").into())
        .answered_by(|message| message.starts_with(b"PONG")); // Without this any traffic is a sign of life.
    let answers = Heartbeat::every(Duration::from_secs(60)) // Ends a client that is silent for so long, and 10 s.
        .answering(|message| message.starts_with(b"PING").then(|| "PONG".into()));
    println!("{:?}", asks.found_within()); // 10.1s
    let listener = Listener::bind("tcp://127.0.0.1:0").framing(Lines).heartbeat(answers).await?;
    let client = Socket::connect(&listener.address()).framing(Lines).heartbeat(asks).await?;
    let server = listener.accept().await.expect("somebody has just dialled");
    while client.tally().messages_in < 3 {
        tokio::time::sleep(Duration::from_millis(10)).await; // The heart beats meanwhile.
    }
    server.write(b"a message").await?;
    println!("{:?}", client.read().await?); // Some(b"a message")
    Ok(())
}
