//! A receiver with a path for each scheme. It prints where it listens and which versions it runs, and ends with its stdin.

mod standard_webhooks;

use http::{HeaderMap, HeaderName, HeaderValue};
use std::env;
use std::error::Error;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;

fn main() -> Result<(), Box<dyn Error>> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    println!(
        r#"{{"port":{},"language":"Rust","versions":{{"standardwebhooks":"{}"}}}}"#,
        listener.local_addr()?.port(),
        version("standardwebhooks").ok_or("Cargo.lock lacks standardwebhooks")?
    );
    thread::spawn(move || {
        for connection in listener.incoming().flatten() {
            thread::spawn(move || {
                let _ = serve(connection);
            });
        }
    });
    io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

/// As much of HTTP/1.1 as the sender uses: requests with a Content-Length, one after the other.
fn serve(connection: TcpStream) -> Result<(), Box<dyn Error>> {
    let mut reader = BufReader::new(connection);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let path = line.split(' ').nth(1).ok_or("no path")?.to_owned();
        let mut headers = HeaderMap::new();
        loop {
            let mut line = String::new();
            reader.read_line(&mut line)?;
            let Some((name, value)) = line.trim_end().split_once(": ") else {
                break;
            };
            headers.append(
                HeaderName::from_bytes(name.as_bytes())?,
                HeaderValue::from_str(value)?,
            );
        }
        let mut body = vec![0; text(&headers, "content-length")?.parse()?];
        reader.read_exact(&mut body)?;
        let (status, answer) = match answer(&path, &headers, &body) {
            Ok(answer) => ("200 OK", answer),
            Err(error) => ("401 Unauthorized", error.to_string()),
        };
        write!(
            reader.get_mut(),
            "HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{answer}",
            answer.len()
        )?;
    }
}

fn answer(path: &str, headers: &HeaderMap, body: &[u8]) -> Result<String, Box<dyn Error>> {
    match path {
        "/standardwebhooks" => {
            standard_webhooks::verify(body, headers, &env::var("WEBHOOK_SECRET")?)?
        }
        "/standardwebhooks/old" => {
            standard_webhooks::verify(body, headers, &env::var("OLD_WEBHOOK_SECRET")?)?
        }
        "/sign/standardwebhooks" => {
            // What the library signs, given the request's ID and time.
            let webhook = standardwebhooks::Webhook::new(&env::var("WEBHOOK_SECRET")?)?;
            let timestamp = text(headers, "webhook-timestamp")?.parse()?;
            return Ok(webhook.sign(text(headers, "webhook-id")?, timestamp, body)?);
        }
        _ => return Err(format!("nothing at {path}").into()),
    }
    Ok(String::new())
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Result<&'a str, Box<dyn Error>> {
    Ok(headers
        .get(name)
        .ok_or_else(|| format!("no {name}"))?
        .to_str()?)
}

/// The version that Cargo.lock gives a package.
fn version(name: &str) -> Option<&'static str> {
    let (_, package) =
        include_str!("../Cargo.lock").split_once(&format!("name = \"{name}\"\nversion = \""))?;
    package.split('"').next()
}
