//! One file over HTTP: redirects, ranges, and what a server may do wrong.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::time::Duration;

use indicatif::ProgressBar;
use ureq::Agent;
use ureq::http::Response;
use ureq::http::header::{CONTENT_RANGE, LOCATION, RANGE};

use super::published::Pinned;
use crate::storage::StorageError;

/// Redirects that are followed.
const REDIRECTS: usize = 5;
const CONNECT: Duration = Duration::from_secs(30);
/// A server that sends nothing for this long is taken for gone.
const SILENCE: Duration = Duration::from_secs(60);

/// Why a transfer ended early.
#[derive(Debug)]
pub(super) enum Trouble {
    /// The connection or the server failed; another try may go better.
    Passing(String),
    /// The server says or sends something wrong; another try would see the same.
    Lasting(String),
    /// The disk failed.
    Disk(StorageError),
}

/// Speaks HTTP; redirects are followed here, where their schemes are compared.
pub(super) fn agent() -> Agent {
    Agent::config_builder()
        .max_redirects(0)
        .max_redirects_will_error(false)
        .http_status_as_error(false)
        .timeout_resolve(Some(CONNECT))
        .timeout_connect(Some(CONNECT))
        .timeout_recv_response(Some(SILENCE))
        .timeout_per_read(Some(SILENCE))
        .user_agent(concat!("bitplane/", env!("CARGO_PKG_VERSION")))
        .build()
        .new_agent()
}

/// Continues the file at `part`, which holds the first bytes or does not exist, from `url` up to the pinned size.
pub(super) fn transfer(
    agent: &Agent,
    url: &str,
    file: &Pinned,
    part: &Path,
    bar: &ProgressBar,
) -> Result<(), Trouble> {
    let disk = |action| move |error| Trouble::Disk(StorageError::at(action, part)(error));
    let open = OpenOptions::new().create(true).truncate(false).write(true).open(part);
    let mut out = open.map_err(disk("open"))?;
    let mut have = out.seek(SeekFrom::End(0)).map_err(disk("read"))?;
    if have > file.bytes {
        have = restart(&mut out).map_err(disk("write"))?;
    }
    if have == file.bytes {
        return Ok(());
    }
    let mut response = request(agent, url, have)?;
    match response.status().as_u16() {
        206 if continues_at(&response, have) => {}
        // A server without ranges sends all of it.
        200 => have = restart(&mut out).map_err(disk("write"))?,
        206 | 416 => {
            restart(&mut out).map_err(disk("write"))?;
            return Err(Trouble::Passing("the server sent another range than was asked for".to_owned()));
        }
        status @ (408 | 425 | 429 | 500..=599) => {
            return Err(Trouble::Passing(format!("the server answered {status}")));
        }
        status => return Err(Trouble::Lasting(format!("the server answered {status}"))),
    }
    bar.set_position(have);
    let mut body = response.body_mut().with_config().limit(u64::MAX).reader();
    let mut buffer = vec![0; 1 << 16];
    loop {
        let count = match body.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) => return Err(Trouble::Passing(format!("after {have} bytes: {error}"))),
        };
        if count as u64 > file.bytes - have {
            restart(&mut out).map_err(disk("write"))?;
            return Err(Trouble::Lasting(format!("the server sent more than {} bytes", file.bytes)));
        }
        out.write_all(&buffer[..count]).map_err(disk("write"))?;
        have += count as u64;
        bar.set_position(have);
    }
    out.sync_all().map_err(disk("write"))?;
    if have < file.bytes {
        return Err(Trouble::Passing(format!("the server sent {have} of {} bytes", file.bytes)));
    }
    Ok(())
}

fn restart(out: &mut File) -> std::io::Result<u64> {
    out.set_len(0)?;
    out.rewind()?;
    Ok(0)
}

fn request(agent: &Agent, url: &str, have: u64) -> Result<Response<ureq::Body>, Trouble> {
    let mut url = url.to_owned();
    for _ in 0..=REDIRECTS {
        let mut request = agent.get(&url);
        if have > 0 {
            request = request.header(RANGE, format!("bytes={have}-"));
        }
        let response = request.call().map_err(|error| match error {
            ureq::Error::BadUri(_) | ureq::Error::Http(_) => {
                Trouble::Lasting(format!("{url} is no address: {error}"))
            }
            error => Trouble::Passing(error.to_string()),
        })?;
        if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
            return Ok(response);
        }
        let location = response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
        url = redirected(&url, location.unwrap_or_default()).map_err(Trouble::Lasting)?;
    }
    Err(Trouble::Lasting(format!("the server redirects more than {REDIRECTS} times")))
}

/// Where a redirect from `url` to `location` leads; never from https to anything else.
fn redirected(url: &str, location: &str) -> Result<String, String> {
    let refused =
        |why: &str| Err(format!("the redirect to `{}` is refused: {why}", data::printable(location)));
    let Some((scheme, rest)) = url.split_once("://") else { return refused("there was no scheme before") };
    if location.starts_with('/') && !location.starts_with("//") {
        let host = rest.split('/').next().unwrap_or_default();
        return Ok(format!("{scheme}://{host}{location}"));
    }
    match location.split_once("://") {
        Some((new, _)) if new.eq_ignore_ascii_case("https") => Ok(location.to_owned()),
        Some((new, _)) if new.eq_ignore_ascii_case("http") && scheme.eq_ignore_ascii_case("http") => {
            Ok(location.to_owned())
        }
        Some((new, _)) if new.eq_ignore_ascii_case("http") => refused("it leaves https"),
        _ => refused("only https and http addresses are followed"),
    }
}

/// True where the range that was sent begins at byte `have`.
fn continues_at(response: &Response<ureq::Body>, have: u64) -> bool {
    let range = response.headers().get(CONTENT_RANGE).and_then(|value| value.to_str().ok());
    range.is_some_and(|range| range.starts_with(&format!("bytes {have}-")))
}

#[cfg(test)]
mod tests {
    use super::redirected;

    #[test]
    fn redirects_never_leave_https() {
        let from = |url: &str, location: &str| redirected(url, location);
        assert_eq!(from("https://a.b/c/d", "/e").unwrap(), "https://a.b/e");
        assert_eq!(from("https://a.b/c", "https://x.y/z").unwrap(), "https://x.y/z");
        assert_eq!(from("http://a.b/c", "https://x.y/z").unwrap(), "https://x.y/z");
        assert_eq!(from("http://a.b/c", "http://x.y/z").unwrap(), "http://x.y/z");
        assert!(from("https://a.b/c", "http://a.b/c").unwrap_err().contains("leaves https"));
        assert!(from("HTTPS://a.b/c", "HTTP://a.b/c").unwrap_err().contains("leaves https"));
        for location in ["", "ftp://a/b", "file:///etc/passwd", "//a/b", "d"] {
            assert!(from("https://a.b/c", location).is_err(), "{location}");
        }
    }
}
