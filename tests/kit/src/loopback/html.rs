//! The page every demo screen is set in. All values pass through [`escape`].

use axum::response::{Html, IntoResponse, Response};
use http::{StatusCode, header};

/// Text made safe for element content and quoted attributes.
pub(crate) fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            c => safe.push(c),
        }
    }
    safe
}

/// A whole document. `title` is escaped here; `main` is markup whose values the caller escaped.
pub(crate) fn page(status: StatusCode, title: &str, main: &str) -> Response {
    let title = escape(title);
    let document = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n{main}\n\
         </main>\n</body>\n</html>\n"
    );
    // No script runs on these pages, nothing may frame them, and a URL that carries a code
    // must not reach another site as a referrer (with `no-referrer`, browsers would also say
    // nothing of where a form was posted from). `form-action` stays open: browsers apply it
    // to the redirect that answers a form as well.
    let headers = [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::REFERRER_POLICY, "same-origin"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    (status, headers, Html(document)).into_response()
}

const POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'";

const STYLE: &str = "\
:root{color-scheme:light dark;--ink:#1c2230;--soft:#5a6474;--paper:#f4f6f9;--card:#fff;\
--line:#d9dee7;--accent:#1f5fd0;--on-accent:#fff;--good:#116b3a;--bad:#a3241c}\
@media(prefers-color-scheme:dark){:root{--ink:#e8ecf3;--soft:#a3adbd;--paper:#12161d;\
--card:#1b212b;--line:#333c4a;--accent:#7fb0ff;--on-accent:#0c1421;--good:#6fd39c;--bad:#ff9d94}}\
*{box-sizing:border-box}body{margin:0;background:var(--paper);color:var(--ink);\
font:1rem/1.5 system-ui,sans-serif}main{max-width:40rem;margin:8vh auto;padding:2rem;\
background:var(--card);border:1px solid var(--line);border-radius:.75rem}\
h1{font-size:1.5rem;line-height:1.25;margin:0 0 1rem}p,ul,dl{margin:0 0 1rem}\
dt{color:var(--soft);font-size:.875rem}dd{margin:0 0 .75rem;overflow-wrap:anywhere}\
label{display:block;margin-bottom:.25rem}input[type=text]{width:100%;padding:.5rem .75rem;\
font:inherit;color:inherit;background:var(--paper);border:1px solid var(--soft);\
border-radius:.375rem;margin-bottom:1rem}.actions{display:flex;gap:.75rem;flex-wrap:wrap}\
button,.button{display:inline-block;padding:.5rem 1.25rem;font:inherit;font-weight:600;\
text-decoration:none;border-radius:.375rem;border:1px solid var(--accent);\
background:var(--accent);color:var(--on-accent);cursor:pointer}\
button.quiet,.button.quiet{background:transparent;color:var(--accent)}\
:focus-visible{outline:3px solid var(--accent);outline-offset:2px}\
.good{color:var(--good)}.bad{color:var(--bad)}.soft{color:var(--soft)}\
.scroll{overflow-x:auto}table{border-collapse:collapse;width:100%}\
th,td{text-align:left;padding:.375rem .75rem .375rem 0;border-bottom:1px solid var(--line);\
vertical-align:top}code{overflow-wrap:anywhere}";

#[cfg(test)]
mod tests {
    use super::escape;

    #[test]
    fn markup_in_a_value_stays_text() {
        assert_eq!(
            escape("<script>alert('x' & \"y\")</script>"),
            "&lt;script&gt;alert(&#39;x&#39; &amp; &quot;y&quot;)&lt;/script&gt;"
        );
    }
}
