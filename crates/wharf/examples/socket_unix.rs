//! The same bytes over a Unix path, without a framing: they are read as they come, until the peer ends its half.
use wharf::socket::{Listener, Socket};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let listener = Listener::bind(&format!("unix:{}/meter.sock", folder.path().display())).await?;
    let client = Socket::connect(&listener.address()).await?;
    let server = listener.accept().await.expect("somebody has just dialled");
    client.write(b"how much?").await?;
    client.finish(); // The server reads an end, and can still answer.
    let mut question = Vec::new();
    while let Some(piece) = server.read().await? {
        question.extend_from_slice(&piece);
    }
    println!("{}", String::from_utf8(question)?); // how much?
    server.write(b"42 kWh").await?;
    server.close().await?;
    println!("{:?}", client.read().await?); // Some(b"42 kWh")
    println!("{:?}", client.read().await?); // None
    Ok(())
}
