//! Lines over TCP: a server that answers in capitals, and a client.
use wharf::socket::{Listener, Socket};
use wharf_proto::framing::Lines;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let listener = Listener::bind("tcp://127.0.0.1:0").framing(Lines).await?;
    let address = listener.address();
    tokio::spawn(async move {
        while let Some(socket) = listener.accept().await {
            tokio::spawn(async move {
                while let Ok(Some(line)) = socket.read().await {
                    let _gone = socket.write(&line.to_ascii_uppercase()).await;
                }
            });
        }
    });
    let socket = Socket::connect(&address).framing(Lines).await?;
    socket.write(b"ship in sight").await?;
    println!("{:?}", socket.read().await?); // Some(b"SHIP IN SIGHT")
    socket.close().await?;
    Ok(())
}
