//! Lines over TLS, where the client trusts one certificate and the server shows it.
use wharf::socket::{ClientTls, Listener, ServerTls, Socket};
use wharf_proto::framing::Lines;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let (certificate, key) = (folder.path().join("server.pem"), folder.path().join("server.key"));
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
    std::fs::write(&certificate, made.cert.pem())?;
    std::fs::write(&key, made.signing_key.serialize_pem())?;

    let shows = ServerTls::showing(&certificate, &key); // .demanding("clients-ca.pem") for mutual TLS
    let listener = Listener::bind("tls://localhost:0").framing(Lines).tls(shows).await?;
    let trusts = ClientTls::trusting(&certificate); // without .tls(...): whom the system trusts
    let client = Socket::connect(&listener.address()).framing(Lines).tls(trusts).await?;
    let server = listener.accept().await.expect("somebody has just dialled");
    client.write(b"in confidence").await?;
    println!("{:?}", server.read().await?); // Some(b"in confidence")
    Ok(())
}
