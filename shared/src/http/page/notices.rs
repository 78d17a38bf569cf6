//! The pages that only say something.

use http::StatusCode;

use super::Page;

macro_rules! notices {
    ($($(#[$doc:meta])* $name:ident = $status:ident, $code:literal, $title:literal, $text:literal;)*) => {
        $(
            $(#[$doc])*
            pub const $name: Page = Page {
                status: StatusCode::$status,
                code: $code,
                title: $title,
                text: $text,
            };
        )*

        /// Every page that only says something.
        pub const NOTICES: &[Page] = &[$($name,)*];
    };
}

notices! {
    /// A callback whose flow has moved on: the back button, a link scanner (C2).
    ALREADY_USED = CONFLICT, "callback_replayed", "This step is already done",
        "Nothing more happens here. Go back to the app to see whether your account is connected.";
    /// A form that came from another site.
    FOREIGN_FORM = FORBIDDEN, "foreign_form", "This was sent from another site",
        "For your safety nothing was done. Go back to the app and press Connect again.";
    /// A connect link that was followed before, is too old or was never one (H-04).
    LINK_USED = GONE, "link_invalid", "This link no longer works",
        "A connect link works once and for ten minutes. Go back to the app and press Connect again.";
    /// The answer of another issuer (C18).
    MIXED_UP = BAD_REQUEST, "mixup_suspected", "The answer came from somewhere else",
        "It is not from the provider you were sent to, so nothing was connected. Go back to the app and press Connect again.";
    /// No flow waits for this.
    NOT_OURS = BAD_REQUEST, "callback_invalid", "This page cannot be used",
        "It does not belong to a connect flow that is under way. Go back to the app and press Connect again.";
    /// Another browser, or one that keeps no cookies (C4).
    OTHER_BROWSER = FORBIDDEN, "browser_mismatch", "This is not the browser you started in",
        "For your safety a connect flow ends in the browser it began in. Go back to the app and press Connect again.";
    /// The app may not be returned to any more (C19).
    RETURN_GONE = GONE, "return_url_gone", "The app has changed",
        "The place to go back to is no longer registered, so nothing was connected. Open the app again and press Connect there.";
    /// A store or KMS did not answer; nothing was lost (C14).
    UNAVAILABLE = SERVICE_UNAVAILABLE, "temporarily_unavailable", "Something is busy",
        "Wait a moment, then load this page again.";
    /// A flow that the app completes, on the page of those it does not.
    WRONG_MODE = CONFLICT, "completion_mode", "The app finishes this",
        "This flow is not finished here. Go back to the app.";
}
