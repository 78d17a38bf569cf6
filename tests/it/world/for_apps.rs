//! Accounts that everyone in an app uses, as an admin of `acme` connects them.

use serde_json::json;

use super::{API, Answer, Call, RETURN, World};

impl World {
    /// A connector of kind `app`. Answers its id.
    pub(crate) async fn shared_connector_of(&self, workspace: &str) -> String {
        let mut body = self.connector_body(&["read"]);
        body["kind"] = json!("app");
        let create = Call::post("/v1/connectors").admin_of(workspace).json(&body);
        self.send(create).await.expect_status(201).text("id")
    }

    /// The same of `acme`.
    pub(crate) async fn shared_connector(&self) -> String {
        self.shared_connector_of("acme").await
    }

    /// Follows the link of a flow that was begun with `begin`, and consents as `account`: the
    /// completion code.
    pub(crate) async fn authorize_with(&self, begin: Call, account: &str) -> String {
        let begun = self.send(begin).await.expect_status(201);
        let link = begun.text("connect_url");
        let link = link.strip_prefix(API).expect("a link to the API");
        let (authorize_url, cookie) = self.follow(link).await;
        let callback = self.consent(&authorize_url, account).await;
        let back = self.send(Call::get(&callback).cookie(&cookie)).await;
        back.expect_status(303).location_params()["code"].clone()
    }

    /// A whole flow of an admin. Answers the connection's id.
    pub(crate) async fn connect_shared(
        &self,
        workspace: &str,
        app: &str,
        connector: &str,
    ) -> String {
        let begin = begin_shared(app, connector).admin_of(workspace);
        let code = self.authorize_with(begin, "team").await;
        let complete = complete_shared(connector, &code).admin_of(workspace);
        let completed = self.send(complete).await.expect_status(200);
        completed.text("connection_id")
    }

    /// A look-up of the app's own account by the back end of `acme`'s `shop`.
    pub(crate) async fn lookup_shared(&self, connector: &str) -> Answer {
        self.lookup_with(json!({"connector_id": connector})).await
    }
}

/// The call with which a flow begins that connects an app's own account.
pub(crate) fn begin_shared(app: &str, connector: &str) -> Call {
    let body = json!({"app_id": app, "return_url": RETURN});
    Call::post(&format!("/v1/connectors/{connector}/connect")).json(&body)
}

/// The call with which it ends.
pub(crate) fn complete_shared(connector: &str, code: &str) -> Call {
    let path = format!("/v1/connectors/{connector}/connect/complete");
    Call::post(&path).json(&json!({"code": code}))
}
