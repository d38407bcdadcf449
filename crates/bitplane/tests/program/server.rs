//! An HTTP server on the loopback interface that behaves as a test wants.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

/// What a client asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The address behind the host.
    pub path: String,
    /// First byte of the range.
    pub from: Option<usize>,
}

/// A server that lives as long as the process.
pub struct Server {
    /// Its address without a slash at the end.
    pub url: String,
    requests: Arc<Mutex<Vec<Request>>>,
}

impl Server {
    /// Answers request number `n`, from 0, with the bytes of `answer(n, request)`, and closes the connection.
    pub fn start(answer: impl Fn(usize, &Request) -> Vec<u8> + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&requests);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.expect("a connection");
                let Some(request) = read_request(&stream) else { continue };
                let mut seen = seen.lock().expect("no panic");
                let number = seen.len();
                seen.push(request.clone());
                drop(seen);
                // A client that has read enough may be gone.
                let _ = stream.write_all(&answer(number, &request));
            }
        });
        Self { url, requests }
    }

    /// All requests so far.
    pub fn requests(&self) -> Vec<Request> {
        self.requests.lock().expect("no panic").clone()
    }
}

fn read_request(stream: &TcpStream) -> Option<Request> {
    let mut lines = BufReader::new(stream).lines();
    let path = lines.next()?.ok()?.split(' ').nth(1)?.to_owned();
    let mut from = None;
    for line in lines {
        let line = line.ok()?.to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(range) = line.strip_prefix("range: bytes=") {
            from = range.trim_end_matches('-').parse().ok();
        }
    }
    Some(Request { path, from })
}

/// A response with this status line, these further header lines and this body, whose length is said to be `len`.
pub fn response(status: &str, headers: &str, body: &[u8], len: usize) -> Vec<u8> {
    let head = format!("HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {len}\r\n{headers}\r\n");
    [head.as_bytes(), body].concat()
}

/// `content` from the byte that `request` asks for, as servers that know ranges send it.
pub fn file(content: &[u8], request: &Request) -> Vec<u8> {
    match request.from {
        None => response("200 OK", "", content, content.len()),
        Some(from) => {
            let range = format!("Content-Range: bytes {from}-{}/{}\r\n", content.len() - 1, content.len());
            response("206 Partial Content", &range, &content[from..], content.len() - from)
        }
    }
}
