//! A registry that answers as a test tells it to.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

use bootstrap::image::digest::Digest;

use crate::support::registry::Content;

pub(crate) struct Request {
    pub(crate) path: String,
    headers: Vec<(String, String)>,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

#[derive(Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// Ends the connection after so many bytes of the body.
    pub(crate) cut_after: Option<usize>,
    /// Leaves the connection open there, for ever.
    pub(crate) stall: bool,
}

impl Answer {
    pub(crate) fn status(status: u16) -> Answer {
        Answer { status, headers: Vec::new(), body: Vec::new(), cut_after: None, stall: false }
    }
}

/// Serves one image as `app:1`; a test's function may change each answer.
pub(crate) struct Faulty {
    pub(crate) host: String,
}

impl Faulty {
    pub(crate) fn start(
        content: Content,
        change: impl Fn(&Request, Answer) -> Answer + Send + Sync + 'static,
    ) -> Faulty {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let shared = Arc::new((content, change));
        // they end with the test's process
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || {
                    let _ = serve(stream, &shared.0, &shared.1);
                });
            }
        });
        Faulty { host }
    }
}

fn serve(stream: TcpStream, content: &Content, change: &impl Fn(&Request, Answer) -> Answer) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    // a TLS handshake is answered with something else
    if reader.fill_buf()?.first() == Some(&0x16) {
        return (&stream).write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
    }
    loop {
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line)? == 0 {
                return Ok(());
            }
            match line.trim_end() {
                "" => break,
                line => lines.push(line.to_owned()),
            }
        }
        let split = |line: &String| line.split_once(": ").map(|(key, value)| (key.to_lowercase(), value.to_owned()));
        let path = lines[0].split(' ').nth(1).unwrap().to_owned();
        let request = Request { path, headers: lines[1..].iter().filter_map(split).collect() };
        if let Some(length) = request.header("content-length") {
            reader.by_ref().take(length.parse().unwrap()).read_to_end(&mut Vec::new())?;
        }
        let answer = change(&request, ordinary(content, &request.path));
        let mut head = format!("HTTP/1.1 {} X\r\nContent-Length: {}\r\n", answer.status, answer.body.len());
        answer.headers.iter().for_each(|(key, value)| head.push_str(&format!("{key}: {value}\r\n")));
        (&stream).write_all(format!("{head}\r\n").as_bytes())?;
        (&stream).write_all(&answer.body[..answer.cut_after.unwrap_or(answer.body.len())])?;
        if answer.stall {
            // until the client is gone
            return reader.read_to_end(&mut Vec::new()).map(drop);
        }
        if answer.cut_after.is_some() {
            return Ok(());
        }
    }
}

fn ordinary(content: &Content, path: &str) -> Answer {
    let manifest = content.manifest();
    let all = content.layers.iter().chain([&content.configuration, &manifest]);
    let wanted = path.rsplit('/').next().unwrap();
    let found = all.into_iter().find(|blob| wanted == "1" || Digest::of(blob).to_string() == wanted);
    let body = if wanted == "1" { Some(&manifest) } else { found };
    match body {
        Some(body) => Answer { body: body.clone(), ..Answer::status(200) },
        None => Answer::status(404),
    }
}
