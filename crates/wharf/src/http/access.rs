//! Who may ask at all: the Origin and Host of a request, and what CORS answers.

use http::{HeaderMap, HeaderValue, header, request::Parts};
use wharf_proto::http::{Host, OriginPattern, OriginPatternError, OriginRule};

use super::answer::{self, Answer};
use crate::settings::Settings;

/// The rule for Origin and Host, made once from the settings.
#[derive(Debug, Clone)]
pub struct Access {
    origins: OriginRule,
    /// Development mode: a foreign name that resolves to this machine (DNS rebinding) is refused.
    local_hosts_only: bool,
}

impl Access {
    /// Reads the allow-list. In development mode it is of no matter: only local pages may come. An entry that
    /// is no origin allows nobody; whoever reads the configuration refuses it before, by [`check_origins`].
    pub fn new(settings: &Settings) -> Self {
        let origins = if settings.development {
            OriginRule::Local
        } else {
            OriginRule::Listed(settings.allowed_origins.iter().filter_map(|text| text.parse().ok()).collect())
        };
        Self { origins, local_hosts_only: settings.development }
    }

    /// Whether pages of this origin may come; `None` is a request that comes from no page.
    pub fn allows_origin(&self, origin: Option<&[u8]>) -> bool {
        self.origins.allows(origin)
    }

    /// Refuses foreign hosts and origins with 403.
    pub(super) fn check(&self, head: &Parts) -> Result<(), Box<Answer>> {
        self.check_host(head)?;
        let mut origins = head.headers.get_all(header::ORIGIN).iter();
        let origin = origins.next().map(HeaderValue::as_bytes);
        // Two readers would choose differently.
        if origins.next().is_some() || !self.allows_origin(origin) {
            return Err(Box::new(answer::error(
                403,
                if self.local_hosts_only {
                    "development mode serves pages from localhost only; configure allowed_origins to serve others"
                } else {
                    "pages from this origin may not use the server; add it to allowed_origins in the configuration"
                },
            )));
        }
        Ok(())
    }

    fn check_host(&self, head: &Parts) -> Result<(), Box<Answer>> {
        if !self.local_hosts_only {
            return Ok(());
        }
        // HTTP/2 and absolute targets carry the authority in the URI; the guard holds that Host agrees with it.
        let host = match head.uri.authority() {
            Some(authority) => Some(authority.as_str().as_bytes()),
            None => head.headers.get(header::HOST).map(HeaderValue::as_bytes),
        };
        match host {
            Some(host) if !Host::parse(host).is_some_and(|host| host.is_local()) => {
                Err(Box::new(answer::error(
                    403,
                    "development mode answers to localhost, 127.0.0.1 and [::1] only; ask by one of these names, or configure the server",
                )))
            }
            // HTTP/1.0 may have none, and no browser speaks it.
            _ => Ok(()),
        }
    }
}

/// Finds the first entry of an allow-list that is no origin.
pub fn check_origins(allowed: &[String]) -> Result<(), OriginPatternError> {
    allowed.iter().try_for_each(|text| text.parse::<OriginPattern>().map(drop))
}

/// The headers with which a page may read the answer (Fetch standard, CORS protocol). Only after `Access::check`.
pub fn allow_reading(request: &HeaderMap, answer: &mut HeaderMap) {
    let Some(origin) = request.get(header::ORIGIN) else { return };
    answer.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
    answer.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
    answer
        .insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("Wharf-Session, Wharf-Seq"));
    answer.append(header::VARY, HeaderValue::from_static("Origin"));
}

/// The answer to a preflight: which methods, and whichever headers the page asks for.
pub(super) fn preflight(head: &Parts, methods: &'static str) -> Answer {
    let mut answer = answer::empty(204);
    let headers = answer.headers_mut();
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("300"));
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(methods));
    let asked = head.headers.get(header::ACCESS_CONTROL_REQUEST_HEADERS).cloned();
    let usual = HeaderValue::from_static("Content-Type, Wharf-Session, Wharf-Ack, Last-Event-ID");
    headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, asked.unwrap_or(usual));
    answer
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn head(host: &str, origins: &[&str]) -> Parts {
        let mut request = Request::builder().uri("/events");
        if !host.is_empty() {
            request = request.header("host", host);
        }
        for origin in origins {
            request = request.header("origin", *origin);
        }
        request.body(()).unwrap().into_parts().0
    }

    fn status(access: &Access, host: &str, origins: &[&str]) -> u16 {
        access.check(&head(host, origins)).map_or_else(|answer| answer.status().as_u16(), |()| 200)
    }

    // Rows 3 and 4.
    #[test]
    fn development_mode_serves_local_pages_and_names_only() {
        let access = Access::new(&Settings::development());
        assert_eq!(status(&access, "localhost:8000", &[]), 200);
        assert_eq!(status(&access, "[::1]", &["http://127.0.0.1:3000"]), 200);
        assert_eq!(status(&access, "", &[]), 200);
        assert_eq!(status(&access, "localhost", &["https://evil.example"]), 403);
        assert_eq!(status(&access, "localhost", &["http://localhost.evil.example"]), 403);
        assert_eq!(status(&access, "localhost", &["null"]), 403);
        assert_eq!(status(&access, "localhost", &["http://localhost", "http://localhost"]), 403);
        assert_eq!(status(&access, "rebound.example", &[]), 403);
    }

    // Rows 3 and 4.
    #[test]
    fn otherwise_an_origin_must_be_listed_and_any_host_will_do() {
        let settings = Settings {
            development: false,
            allowed_origins: vec!["https://app.example".to_owned()],
            ..Settings::development()
        };
        let access = Access::new(&settings);
        assert_eq!(status(&access, "chat.example", &["https://app.example"]), 200);
        assert_eq!(status(&access, "chat.example", &[]), 200);
        assert_eq!(status(&access, "chat.example", &["https://chat.example"]), 403);
        assert_eq!(status(&access, "chat.example", &["https://app.example.evil"]), 403);
        assert_eq!(status(&access, "chat.example", &["null"]), 403);
    }

    // Row 63.
    #[test]
    fn a_preflight_reflects_only_what_a_header_can_hold() {
        let mut head = head("localhost", &[]);
        head.headers.insert("access-control-request-headers", HeaderValue::from_static("wharf-ack, x-a"));
        let answer = preflight(&head, "POST, OPTIONS");
        assert_eq!(answer.headers()["access-control-allow-headers"], "wharf-ack, x-a");
        assert_eq!(answer.headers()["access-control-max-age"], "300");
        assert!(HeaderValue::from_bytes(b"a\r\nSet-Cookie: b").is_err());
    }
}
