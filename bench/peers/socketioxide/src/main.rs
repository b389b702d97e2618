//! The app of every row, `bench/apps/app.mjs`, on socketioxide: one thread, default options, real
//! ping interval.
//!
//! Listens on a free loopback port, prints the port in one line of JSON, and runs until it is
//! ended.

use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use socketioxide::SocketIo;
use socketioxide::extract::{AckSender, Data, SocketRef};
use tokio::net::{TcpListener, TcpSocket};

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::io::Result<()> {
    let (service, io) = SocketIo::builder().ping_interval(Duration::from_secs(25)).build_svc();
    io.ns("/", serve);
    let listener = listen()?;
    let (port, pid) = (listener.local_addr()?.port(), std::process::id());
    writeln!(std::io::stdout(), r#"{{"port":{port},"pid":{pid}}}"#)?;
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        stream.set_nodelay(true)?;
        let service = service.clone();
        tokio::spawn(async move {
            let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
            // A client that disconnects is no failure of a benchmark's app.
            let _ = connection.with_upgrades().await;
        });
    }
}

fn listen() -> std::io::Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0).into())?;
    socket.listen(4_096)
}

async fn serve(socket: SocketRef) {
    socket.on("echo", async |Data::<String>(text), ack: AckSender| {
        let _ = ack.send(&text);
    });
    socket.on("broadcast", broadcast);
    socket.on("who", async |ack: AckSender| {
        let _ = ack.send(&std::process::id().to_string());
    });
    // There is no garbage collector.
    socket.on("gc", async |ack: AckSender| {
        let _ = ack.send("done");
    });
}

async fn broadcast(io: SocketIo, Data((first, count, at, bytes)): Data<(u64, u64, String, usize)>) {
    for sequence in first..first + count {
        let mut text = format!("{sequence}:{at}:");
        while text.len() < bytes {
            text.push('x');
        }
        let _ = io.emit("b", &text).await;
    }
}
