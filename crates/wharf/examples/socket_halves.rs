//! One task reads while another writes; a slow reader makes the writer wait, and a call that waits may be dropped.
use std::time::Duration;
use wharf::socket::{Bounds, Listener, Socket};
use wharf_proto::framing::Lines;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let bounds = Bounds { queue_bytes: 10_000, read_ahead_bytes: 10_000, ..Bounds::default() };
    let listener = Listener::bind("tcp://127.0.0.1:0").framing(Lines).bounds(bounds).await?;
    let (_, writer) = Socket::connect(&listener.address()).framing(Lines).bounds(bounds).await?.split();
    let (reader, _) = listener.accept().await.expect("somebody has just dialled").split();
    tokio::spawn(async move {
        for number in 0..10_000 {
            writer.write(format!("{number}").as_bytes()).await?; // Waits where the queue is full.
        }
        Ok::<_, wharf::socket::WriteError>(()) // Dropping the half ends it, behind what was written.
    });
    let mut lines = 0;
    // A read that is dropped by its time limit loses nothing: the next has the message.
    while let Some(_line) = tokio::time::timeout(Duration::from_secs(5), reader.read()).await?? {
        lines += 1;
    }
    println!("{lines}"); // 10000
    Ok(())
}
