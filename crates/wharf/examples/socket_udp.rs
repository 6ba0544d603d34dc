//! Datagrams: each peer of the listener's one UDP socket is a socket of its own, up to a bound.
use wharf::socket::{Listener, Socket};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let listener = Listener::bind("udp://127.0.0.1:0").udp_peers(100).await?;
    let address = listener.address();
    tokio::spawn(async move {
        while let Some(peer) = listener.accept().await {
            tokio::spawn(async move {
                while let Ok(Some(datagram)) = peer.read().await {
                    let _gone = peer.write(&datagram).await;
                }
            });
        }
    });
    let socket = Socket::connect(&address).await?;
    socket.write(b"ahoy").await?;
    println!("{:?}", socket.read().await?); // Some(b"ahoy")
    let too_long = socket.write(&[0; 70_000]).await;
    println!("{}", too_long.is_err()); // true
    Ok(())
}
