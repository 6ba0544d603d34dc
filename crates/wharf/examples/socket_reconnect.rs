//! A client that comes back, says who it is, and then what was written meanwhile.
use std::time::Duration;
use wharf::socket::{Event, Listener, Reconnect, Socket};
use wharf_proto::framing::Lines;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let listener = Listener::bind("tcp://127.0.0.1:0").framing(Lines).await?;
    let reconnect = Reconnect::default()
        .pauses(Duration::from_millis(50), Duration::from_secs(5)) // Doubled after each failure, with jitter.
        .greeting(|connection| vec![format!("LOGIN meter-1, connection {connection}").into()]);
    let client = Socket::connect(&listener.address()).framing(Lines).reconnect(reconnect).await?;
    drop(listener.accept().await); // The server hangs up.
    while !matches!(client.next_event().await?, Some(Event::Lost { .. })) {}
    client.write(b"written while away").await?; // Waits for the next connection; Unsent::Refuse refuses it.
    let server = listener.accept().await.expect("the client comes back");
    println!("{:?}", server.read().await?); // Some(b"LOGIN meter-1, connection 2")
    println!("{:?}", server.read().await?); // Some(b"written while away")
    println!("{:?}", client.next_event().await?); // Some(Opened { connection: 2 })
    Ok(())
}
