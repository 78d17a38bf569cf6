//! A real browser: headless Chromium, driven by its own driver through WebDriver (W3C), which is
//! JSON over HTTP. A story's browser has a driver and a profile of its own and ends with it.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use testkit::loopback;
use tokio::sync::{Semaphore, SemaphorePermit};
use url::Url;

use crate::stack::{eventually, random, see};

/// As many browsers run at once as there are stories that a small machine runs at once.
const BROWSERS: u32 = 2;
static SEATS: Semaphore = Semaphore::const_new(BROWSERS as usize);

/// No browser runs while the answer lives.
pub(crate) async fn no_browsers() -> SemaphorePermit<'static> {
    let all = SEATS.acquire_many(BROWSERS);
    all.await.expect("nobody closes the seats")
}

/// What the driver calls a reference to an element (WebDriver section 12).
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// Keys (WebDriver section 17.4.2).
const TAB: char = '\u{E004}';
const ENTER: char = '\u{E007}';

/// A browser with one window, and nothing in its profile.
pub(crate) struct Browser {
    http: reqwest::Client,
    /// Where its commands go.
    session: String,
    _driver: Driver,
    _seat: SemaphorePermit<'static>,
}

impl Browser {
    /// As people have it.
    pub(crate) async fn start() -> Self {
        Self::with(json!({})).await
    }

    /// One that runs no script of any page.
    pub(crate) async fn without_scripts() -> Self {
        Self::with(json!({"profile.managed_default_content_settings.javascript": 2})).await
    }

    async fn with(preferences: Value) -> Self {
        let seat = SEATS.acquire().await.expect("nobody closes the seats");
        let (driver, port) = Driver::start();
        let wanted = json!({
            "browserName": "chrome",
            // A dialog is a finding, and not for the driver to wave away.
            "unhandledPromptBehavior": "ignore",
            "timeouts": {"implicit": 20_000, "pageLoad": 60_000},
            "goog:loggingPrefs": {"browser": "ALL"},
            "goog:chromeOptions": {
                "args": [
                    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
                    "--no-proxy-server", "--disable-background-networking",
                    "--disable-crash-reporter",
                ],
                "prefs": preferences,
            },
        });
        let wanted = json!({"capabilities": {"alwaysMatch": wanted}});
        let mut browser = Self {
            http: loopback::client(),
            session: format!("http://127.0.0.1:{port}/session"),
            _driver: driver,
            _seat: seat,
        };
        let made = browser.post("", wanted).await;
        let id = made["sessionId"].as_str().expect("a session has an id");
        browser.session = format!("{}/{id}", browser.session);
        browser
    }

    /// Opens an address, as if it had been typed, and waits until the page is there.
    pub(crate) async fn goto(&self, url: &str) {
        self.post("/url", json!({"url": url})).await;
    }

    /// Where the window is.
    pub(crate) async fn url(&self) -> Url {
        let url = self.get("/url").await;
        Url::parse(url.as_str().expect("a window is somewhere")).expect("a window has a URL")
    }

    /// Waits until the window is at an address that begins like this. Answers all of it.
    pub(crate) async fn arrives_at(&self, beginning: &str) -> Url {
        let there = async || self.url().await.as_str().starts_with(beginning);
        eventually(Duration::from_secs(30), beginning, there).await;
        self.url().await
    }

    /// The text of an element that a person would see.
    pub(crate) async fn text(&self, css: &str) -> String {
        let element = self.element(css).await;
        text_of(self.get(&format!("/element/{element}/text")).await)
    }

    /// Presses an element.
    pub(crate) async fn press(&self, css: &str) {
        let element = self.element(css).await;
        self.post(&format!("/element/{element}/click"), json!({}))
            .await;
    }

    /// Writes into a field in place of what is there.
    pub(crate) async fn write(&self, css: &str, text: &str) {
        let element = self.element(css).await;
        self.post(&format!("/element/{element}/clear"), json!({}))
            .await;
        let text = json!({"text": text});
        self.post(&format!("/element/{element}/value"), text).await;
    }

    /// Whether the page has such an element now.
    pub(crate) async fn has(&self, css: &str) -> bool {
        let count = "return document.querySelectorAll(arguments[0]).length";
        self.run(count, json!([css])).await != json!(0)
    }

    /// Runs a script of the story in the page, which no policy of the page forbids.
    pub(crate) async fn run(&self, script: &str, arguments: Value) -> Value {
        let body = json!({"script": script, "args": arguments});
        self.post("/execute/sync", body).await
    }

    /// Presses Tab. Answers role and name, as assistive technology hears them, of what has the
    /// focus then.
    pub(crate) async fn tab(&self) -> (String, String) {
        self.key(TAB).await;
        let active = self.get("/element/active").await;
        let active = active[ELEMENT].as_str().expect("something has the focus");
        let role = self.get(&format!("/element/{active}/computedrole")).await;
        let name = self.get(&format!("/element/{active}/computedlabel")).await;
        (text_of(role), text_of(name))
    }

    /// Presses Tab until the focus is on a button of this name, and Enter there.
    pub(crate) async fn press_by_keyboard(&self, name: &str) {
        for _ in 0..10 {
            if self.tab().await == ("button".to_owned(), name.to_owned()) {
                return self.key(ENTER).await;
            }
        }
        panic!("ten tabs lead to no button {name}");
    }

    async fn key(&self, key: char) {
        let press =
            ["keyDown", "keyUp"].map(|kind| json!({"type": kind, "value": key.to_string()}));
        let keyboard = json!({"type": "key", "id": "keyboard", "actions": press});
        self.post("/actions", json!({"actions": [keyboard]})).await;
    }

    /// The open windows.
    pub(crate) async fn windows(&self) -> Vec<Value> {
        let windows = self.get("/window/handles").await;
        windows.as_array().expect("a list of windows").clone()
    }

    /// Waits until so many windows are open. Answers the last.
    pub(crate) async fn has_windows(&self, number: usize) -> Value {
        let what = format!("{number} windows are open");
        let so_many = async || self.windows().await.len() == number;
        eventually(Duration::from_secs(30), &what, so_many).await;
        self.windows().await.pop().expect("one window at least")
    }

    /// Goes on in another window.
    pub(crate) async fn switch_to(&self, window: &Value) {
        self.post("/window", json!({"handle": window})).await;
    }

    /// Goes on in the only frame of the page.
    pub(crate) async fn enter_frame(&self) {
        self.post("/frame", json!({"id": 0})).await;
    }

    /// The addresses that the window has been at, as its history keeps them.
    pub(crate) async fn history(&self) -> Vec<String> {
        let history = self.devtools("Page.getNavigationHistory", json!({})).await;
        let entries = history["entries"].as_array().expect("a history").iter();
        entries.map(|entry| text_of(entry["url"].clone())).collect()
    }

    /// The cookies that the browser would send to an address, name and value.
    pub(crate) async fn cookies(&self, url: &str) -> Vec<(String, String)> {
        let all = self.devtools("Network.getCookies", json!({"urls": [url]}));
        let all = all.await["cookies"].as_array().expect("cookies").clone();
        let pair = |cookie: Value| {
            (
                text_of(cookie["name"].clone()),
                text_of(cookie["value"].clone()),
            )
        };
        all.into_iter().map(pair).collect()
    }

    /// Notes the flows' cookies for the search that follows these tests.
    pub(crate) async fn see_cookies(&self, url: &str) {
        for (_, value) in self.cookies(url).await {
            see(&value);
        }
    }

    /// Gives the browser a cookie that an address has set elsewhere.
    pub(crate) async fn take_cookie(&self, url: &str, cookie: &str) {
        let (name, value) = cookie.split_once('=').expect("a cookie has a value");
        let cookie = json!({
            "url": url, "name": name, "value": value, "path": "/", "secure": true,
            "httpOnly": true, "sameSite": "Lax",
        });
        let taken = self.devtools("Network.setCookie", cookie).await;
        assert_eq!(taken["success"], true, "{taken}");
    }

    async fn devtools(&self, command: &str, parameters: Value) -> Value {
        let body = json!({"cmd": command, "params": parameters});
        self.post("/goog/cdp/execute", body).await
    }

    /// What the browser has said on its console since it was last asked.
    pub(crate) async fn console(&self) -> Vec<String> {
        let lines = self.post("/se/log", json!({"type": "browser"})).await;
        let lines = lines.as_array().expect("lines").iter();
        lines.map(|line| text_of(line["message"].clone())).collect()
    }

    /// Fails if a page tried what its policy forbids.
    pub(crate) async fn broke_no_policy(&self) {
        let mut console = self.console().await;
        console.retain(|line| line.contains("Content Security Policy"));
        assert_eq!(console, [""; 0]);
    }

    /// Whether a dialog of a page is open.
    pub(crate) async fn shows_a_dialog(&self) -> bool {
        match self.command(Method::GET, "/alert/text", None).await {
            Ok(_) => true,
            Err(error) if error["error"] == "no such alert" => false,
            Err(error) => panic!("{error}"),
        }
    }

    /// A reference to an element, which may still have to come.
    async fn element(&self, css: &str) -> String {
        let body = json!({"using": "css selector", "value": css});
        let found = self.post("/element", body).await;
        text_of(found[ELEMENT].clone())
    }

    async fn get(&self, path: &str) -> Value {
        let answer = self.command(Method::GET, path, None).await;
        answer.unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    async fn post(&self, path: &str, body: Value) -> Value {
        let answer = self.command(Method::POST, path, Some(body)).await;
        answer.unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    /// One command: what it answers, or the error.
    async fn command(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Result<Value, Value> {
        let url = format!("{}{path}", self.session);
        let mut request = self.http.request(method, url);
        if let Some(body) = body {
            let json = "application/json; charset=utf-8";
            request = request.header("content-type", json).body(body.to_string());
        }
        let response = request.send().await.expect("the driver answers");
        let done = response.status().is_success();
        let body = response.bytes().await.expect("a whole answer");
        let mut answer: Value = serde_json::from_slice(&body).expect("the driver answers JSON");
        let value = answer["value"].take();
        if done { Ok(value) } else { Err(value) }
    }
}

#[track_caller]
fn text_of(value: Value) -> String {
    let text = value.as_str();
    text.unwrap_or_else(|| panic!("no text: {value}")).into()
}

/// The driver's process, and through it the browser's.
struct Driver {
    process: Child,
    /// Open as long as the driver may want to write.
    output: BufReader<ChildStdout>,
    /// What both write.
    folder: PathBuf,
}

impl Driver {
    /// Starts one. Answers its port too. The port that a driver finds free for IPv4 may be taken
    /// for IPv6, and then it ends at once: another is started.
    fn start() -> (Self, u16) {
        let mut attempts = (0..5).filter_map(|_| Self::attempt());
        attempts.next().expect("of five drivers one finds a port")
    }

    fn attempt() -> Option<(Self, u16)> {
        let folder = std::env::temp_dir().join(format!("grantry-browser-{}", random()));
        fs::create_dir(&folder).expect("a new folder");
        let mut process = Command::new("chromedriver")
            .arg("--port=0")
            .env("TMPDIR", &folder)
            // Browsers are in the driver's process group, by which all of them are ended.
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect(
                "chromedriver starts; on Debian and Ubuntu it comes with the packages chromium \
                 and chromium-driver",
            );
        let output = process.stdout.take().expect("it was piped");
        let mut driver = Self {
            process,
            output: BufReader::new(output),
            folder,
        };
        let mut line = String::new();
        while driver.output.read_line(&mut line).expect("its output") > 0 {
            if let Some((_, port)) = line.split_once("started successfully on port ") {
                let port = port.trim_end().trim_end_matches('.');
                return Some((driver, port.parse().expect("a port")));
            }
            line.clear();
        }
        None
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        let group = format!("-{}", self.process.id());
        let signal = |signal: &str| {
            let kill = Command::new("kill")
                .args([signal, "--", &group])
                .stderr(Stdio::null())
                .status();
            kill.is_ok_and(|status| status.success())
        };
        signal("-KILL");
        let _ = self.process.wait();
        // The browser is nobody's child any more; as long as it is there it may write.
        // A while: what has ended may still wait for somebody to take note of it.
        let _ = (0..200).any(|_| !signal("-0"));
        // Its crash handler is in a group of its own, and clears up at the same time.
        let removed = (0..5).any(|_| {
            let _ = fs::remove_dir_all(&self.folder);
            !self.folder.exists()
        });
        if !removed {
            eprintln!("{} is left over", self.folder.display());
        }
    }
}
