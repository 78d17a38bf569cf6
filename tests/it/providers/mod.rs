//! Every provider of the catalogue, played by the test kit's peer from its own file.

mod added;
mod answers;
mod errors;
mod life;
mod page;
mod share;
mod signed;

use std::collections::BTreeMap;

use catalogue_format::{AskedOf, ClientAuth, Template};
use serde_json::Value;
use testkit::catalogue::loaded;
use testkit::peer::{KnownClient, Peer};

/// A provider as it stands in the catalogue's files.
pub(crate) struct Entry {
    pub(crate) id: String,
    pub(crate) template: Template,
    /// The same as an admin would give it; `None` where the product has it.
    pub(crate) described: Option<Value>,
}

impl Entry {
    /// An example for each of its fields that this one is asked.
    fn config(&self, asked: AskedOf) -> BTreeMap<String, String> {
        let fields = self.template.fields.iter();
        let asked = fields.filter(|field| field.asked == asked);
        asked
            .map(|field| (field.name.clone(), field.example.clone()))
            .collect()
    }

    /// Scopes that a user may be asked for here.
    fn scopes(&self) -> Vec<&'static str> {
        let none = self.template.authorize.omit.iter().any(|it| it == "scope");
        match (&self.template.id_token, none) {
            (_, true) => Vec::new(),
            (Some(_), _) => vec!["openid", "files:read"],
            (None, _) => vec!["files:read", "https://scopes.example/all"],
        }
    }

    /// Has a peer play this provider, and answers the client that it knows.
    fn play(&self, peer: &Peer) -> KnownClient {
        let client = match self.template.token.auth {
            ClientAuth::PrivateKeyJwt => KnownClient::signing("signer"),
            _ => client_of(&self.id),
        };
        let mut config = self.config(AskedOf::Admin);
        config.extend(self.config(AskedOf::User));
        peer.play(&self.id, self.template.clone(), &config, client.clone());
        client
    }
}

/// A client whose id and secret arrive as something else wherever they are not encoded as they
/// have to be.
fn client_of(id: &str) -> KnownClient {
    KnownClient {
        id: format!("client:{id}/1"),
        secret: format!("{id} s%cr+t/&=?:\"~"),
    }
}

/// The catalogue, ready to be played.
fn catalogue() -> Vec<Entry> {
    let entries = loaded().into_iter().map(|one| Entry {
        template: serde_json::from_str(&one.template).expect("a template"),
        id: one.id,
        described: None,
    });
    entries.collect()
}

fn entry(id: &str) -> Entry {
    let mut entries = catalogue().into_iter();
    entries.find(|entry| entry.id == id).expect(id)
}
