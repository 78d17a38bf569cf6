// Made by scripts/types.mjs out of the OpenAPI document. Do not edit.

export interface paths {
    "/v1/me/audit": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * What happened to my connections
         * @description In this app. Latest first.
         */
        get: operations["listMyAudit"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/me/connections": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Begin to connect
         * @description Answers the link to send the browser to. It works once, within ten minutes.
         */
        post: operations["beginConnect"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/me/connections/complete": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Finish to connect
         * @description With the JWT of the user who is signed in now, and the completion code of the return URL, within two
         *     minutes. Somebody else than who began is refused, and the code is thrown away. The same call again
         *     answers the same.
         */
        post: operations["completeConnect"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/me/connections/{connector_id}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        post?: never;
        /**
         * Disconnect
         * @description At any time, also after the connector was deleted. What is not connected is answered alike.
         */
        delete: operations["disconnect"];
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/me/connectors": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** The connectors of this app with my status in each */
        get: operations["listMyConnectors"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/oauth/token": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Exchange a user's JWT for their access token
         * @description `POST /v1/tokens` as an OAuth token exchange (RFC 8693), for clients that speak that already. The
         *     API key is the client's credential, as `Bearer` or as the password of HTTP Basic with any name.
         */
        post: operations["exchangeToken"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/tokens": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Get a fresh access token
         * @description Refreshed first when it would not last for `min_ttl`. Needs the key's scope `tokens:read`. Never
         *     answers a refresh token.
         */
        post: operations["getToken"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/users/{user_id}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        post?: never;
        /**
         * Forget a user
         * @description Disconnects all their accounts in this app and erases what is held of them; the grants are revoked in the
         *     background. Needs the key's scope `connections:write`. The audit keeps its entries for its own time.
         */
        delete: operations["eraseUser"];
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/users/{user_id}/connections": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * The connectors of this app with a user's status in each
         * @description Needs the key's scope `connections:read`. Hands out no token.
         */
        get: operations["listConnectorsOfUser"];
        put?: never;
        /**
         * Begin to connect for a user
         * @description Answers the link to send the user's browser to. The flow is finished by that user, with their own JWT or
         *     on the confirm page. Needs the key's scope `connections:write`.
         */
        post: operations["beginConnectForUser"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/users/{user_id}/connections/{connector_id}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        post?: never;
        /**
         * Disconnect a user
         * @description Needs the key's scope `connections:write`.
         */
        delete: operations["disconnectUser"];
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
}
export type webhooks = Record<string, never>;
export interface components {
    schemas: {
        WebhookEvent: {
            actor: components["schemas"]["Actor"];
            appId: components["schemas"]["Id"];
            id: components["schemas"]["EventId"];
            /** @description Of the request that changed it; in its log line too. */
            requestId?: string;
            time: components["schemas"]["Time"];
            /** @constant */
            type: "app.deleted";
            /**
             * @description Of this description. It grows when a member changes its meaning.
             * @constant
             */
            version: 1;
            workspaceId: components["schemas"]["Id"];
        } | {
            actor: components["schemas"]["Actor"];
            alias?: components["schemas"]["Alias"];
            appId: components["schemas"]["Id"];
            connectionId: components["schemas"]["Id"];
            connectorId: components["schemas"]["Id"];
            id: components["schemas"]["EventId"];
            /** @description Of the request that changed it; in its log line too. */
            requestId?: string;
            subject: components["schemas"]["ConnectorKind"];
            time: components["schemas"]["Time"];
            /** @constant */
            type: "connection.connected";
            userId?: components["schemas"]["UserId"];
            /**
             * @description Of this description. It grows when a member changes its meaning.
             * @constant
             */
            version: 1;
            workspaceId: components["schemas"]["Id"];
        } | {
            actor: components["schemas"]["Actor"];
            alias?: components["schemas"]["Alias"];
            appId: components["schemas"]["Id"];
            connectionId: components["schemas"]["Id"];
            connectorId: components["schemas"]["Id"];
            id: components["schemas"]["EventId"];
            /** @description Of the request that changed it; in its log line too. */
            requestId?: string;
            subject: components["schemas"]["ConnectorKind"];
            time: components["schemas"]["Time"];
            /** @constant */
            type: "connection.disconnected";
            userId?: components["schemas"]["UserId"];
            /**
             * @description Of this description. It grows when a member changes its meaning.
             * @constant
             */
            version: 1;
            workspaceId: components["schemas"]["Id"];
        } | {
            actor: components["schemas"]["Actor"];
            alias?: components["schemas"]["Alias"];
            appId: components["schemas"]["Id"];
            connectionId: components["schemas"]["Id"];
            connectorId: components["schemas"]["Id"];
            id: components["schemas"]["EventId"];
            reason: components["schemas"]["ReconnectReason"];
            /** @description Of the request that changed it; in its log line too. */
            requestId?: string;
            subject: components["schemas"]["ConnectorKind"];
            time: components["schemas"]["Time"];
            /** @constant */
            type: "connection.reconnect_required";
            userId?: components["schemas"]["UserId"];
            /**
             * @description Of this description. It grows when a member changes its meaning.
             * @constant
             */
            version: 1;
            workspaceId: components["schemas"]["Id"];
        } | {
            actor: components["schemas"]["Actor"];
            alias?: components["schemas"]["Alias"];
            appId: components["schemas"]["Id"];
            connectionId: components["schemas"]["Id"];
            connectorId: components["schemas"]["Id"];
            id: components["schemas"]["EventId"];
            /** @description Of the request that changed it; in its log line too. */
            requestId?: string;
            subject: components["schemas"]["ConnectorKind"];
            time: components["schemas"]["Time"];
            /** @constant */
            type: "connection.reconnected";
            userId?: components["schemas"]["UserId"];
            /**
             * @description Of this description. It grows when a member changes its meaning.
             * @constant
             */
            version: 1;
            workspaceId: components["schemas"]["Id"];
        } | {
            actor: components["schemas"]["Actor"];
            alias?: components["schemas"]["Alias"];
            appId: components["schemas"]["Id"];
            connectionId: components["schemas"]["Id"];
            connectorId: components["schemas"]["Id"];
            grantedScopes: components["schemas"]["Scopes"];
            id: components["schemas"]["EventId"];
            /** @description Of the request that changed it; in its log line too. */
            requestId?: string;
            subject: components["schemas"]["ConnectorKind"];
            time: components["schemas"]["Time"];
            /** @constant */
            type: "connection.scopes_changed";
            userId?: components["schemas"]["UserId"];
            /**
             * @description Of this description. It grows when a member changes its meaning.
             * @constant
             */
            version: 1;
            workspaceId: components["schemas"]["Id"];
        } | {
            actor: components["schemas"]["Actor"];
            connectorId: components["schemas"]["Id"];
            id: components["schemas"]["EventId"];
            /** @description Of the request that changed it; in its log line too. */
            requestId?: string;
            time: components["schemas"]["Time"];
            /** @constant */
            type: "connections.revoked";
            /**
             * @description Of this description. It grows when a member changes its meaning.
             * @constant
             */
            version: 1;
            workspaceId: components["schemas"]["Id"];
        } | {
            actor: components["schemas"]["Actor"];
            connectorId: components["schemas"]["Id"];
            id: components["schemas"]["EventId"];
            /** @description Of the request that changed it; in its log line too. */
            requestId?: string;
            time: components["schemas"]["Time"];
            /** @constant */
            type: "connector.created";
            /**
             * @description Of this description. It grows when a member changes its meaning.
             * @constant
             */
            version: 1;
            workspaceId: components["schemas"]["Id"];
        } | {
            actor: components["schemas"]["Actor"];
            connectorId: components["schemas"]["Id"];
            id: components["schemas"]["EventId"];
            /** @description Of the request that changed it; in its log line too. */
            requestId?: string;
            time: components["schemas"]["Time"];
            /** @constant */
            type: "connector.deleted";
            /**
             * @description Of this description. It grows when a member changes its meaning.
             * @constant
             */
            version: 1;
            workspaceId: components["schemas"]["Id"];
        } | {
            actor: components["schemas"]["Actor"];
            connectorId: components["schemas"]["Id"];
            id: components["schemas"]["EventId"];
            /** @description Of the request that changed it; in its log line too. */
            requestId?: string;
            time: components["schemas"]["Time"];
            /** @constant */
            type: "connector.disabled";
            /**
             * @description Of this description. It grows when a member changes its meaning.
             * @constant
             */
            version: 1;
            workspaceId: components["schemas"]["Id"];
        } | {
            actor: components["schemas"]["Actor"];
            connectorId: components["schemas"]["Id"];
            id: components["schemas"]["EventId"];
            /** @description Of the request that changed it; in its log line too. */
            requestId?: string;
            time: components["schemas"]["Time"];
            /** @constant */
            type: "connector.enabled";
            /**
             * @description Of this description. It grows when a member changes its meaning.
             * @constant
             */
            version: 1;
            workspaceId: components["schemas"]["Id"];
        } | {
            actor: components["schemas"]["Actor"];
            cause: components["schemas"]["Misconfiguration"];
            connectorId: components["schemas"]["Id"];
            id: components["schemas"]["EventId"];
            /** @description Of the request that changed it; in its log line too. */
            requestId?: string;
            time: components["schemas"]["Time"];
            /** @constant */
            type: "connector.misconfigured";
            /**
             * @description Of this description. It grows when a member changes its meaning.
             * @constant
             */
            version: 1;
            workspaceId: components["schemas"]["Id"];
        } | {
            actor: components["schemas"]["Actor"];
            connectorId: components["schemas"]["Id"];
            id: components["schemas"]["EventId"];
            /** @description Of the request that changed it; in its log line too. */
            requestId?: string;
            time: components["schemas"]["Time"];
            /** @constant */
            type: "connector.updated";
            /**
             * @description Of this description. It grows when a member changes its meaning.
             * @constant
             */
            version: 1;
            workspaceId: components["schemas"]["Id"];
        } | {
            actor: components["schemas"]["Actor"];
            appId: components["schemas"]["Id"];
            /** @description How many, up to this one. */
            connections: number;
            id: components["schemas"]["EventId"];
            keyId: components["schemas"]["Id"];
            /** @description Of the request that changed it; in its log line too. */
            requestId?: string;
            time: components["schemas"]["Time"];
            /** @constant */
            type: "credential.bulk_read";
            /**
             * @description Of this description. It grows when a member changes its meaning.
             * @constant
             */
            version: 1;
            workspaceId: components["schemas"]["Id"];
        };
        Problem: {
            /** @enum {string} */
            code: "account_mismatch" | "already_exists" | "code_refused" | "completion_invalid" | "completion_mode" | "confirmation_required" | "conflict" | "connector_disabled" | "connector_incomplete" | "discovery_failed" | "forbidden" | "id_token_invalid" | "idempotency_in_progress" | "idempotency_key_reused" | "insufficient_scope" | "internal" | "invalid_request" | "kind_mismatch" | "kms_unavailable" | "method_not_allowed" | "not_connected" | "not_found" | "on_behalf_of_required" | "payload_too_large" | "plan_required" | "precondition_failed" | "precondition_required" | "provider_unavailable" | "rate_limited" | "reconnect_required" | "session_expired" | "temporarily_unavailable" | "too_many_accounts" | "too_many_keys" | "unauthenticated" | "user_mismatch";
            /** @description What to do about it. */
            detail: string;
            errors?: components["schemas"]["FieldError"][];
            reason?: components["schemas"]["ReconnectReason"];
            requiredPlan?: string;
            requiredScope?: string;
            status: number;
            title: string;
            /** Format: uri */
            type: string;
        };
        /**
         * @description A refusal in the words of RFC 6749, section 5.2, with our own name for it.
         * @example {
         *       "code": "not_connected",
         *       "error": "invalid_grant",
         *       "error_description": "no account is connected here"
         *     }
         */
        OAuthError: {
            /** @description The `code` that the refusal has elsewhere. */
            code: string;
            /** @enum {string} */
            error: "invalid_client" | "invalid_grant" | "invalid_request" | "invalid_scope" | "invalid_target" | "unauthorized_client" | "unsupported_grant_type" | "server_error" | "temporarily_unavailable";
            errorDescription: string;
            reason?: components["schemas"]["ReconnectReason"];
        };
        MyAuditEntry: {
            action: components["schemas"]["Action"];
            actor: components["schemas"]["ActorKind"];
            connectionId?: components["schemas"]["Id"];
            connectorId?: components["schemas"]["Id"];
            id: components["schemas"]["AuditId"];
            outcome: components["schemas"]["Outcome"];
            reason?: string;
            time: components["schemas"]["Time"];
        };
        /** @description Passed as `cursor` it gets the next page. Absent on the last. */
        NextCursor: string;
        /**
         * @example {
         *       "connector_id": "Gm9sQd1mVxkq3yYhA0b2Zw",
         *       "return_url": "https://shop.example.com/connected"
         *     }
         */
        Begin: {
            /** @description Under which of several accounts to keep it, of 20 at most; the default one when left out. */
            alias?: string | null;
            config?: components["schemas"]["Told"];
            connectorId: components["schemas"]["Id"];
            display?: components["schemas"]["Display"];
            loginHint?: components["schemas"]["LoginHint"];
            returnUrl: components["schemas"]["ReturnUrl"];
        };
        Begun: {
            /** Format: uri */
            connectUrl: string;
            expiresAt: components["schemas"]["Time"];
        };
        /**
         * @example {
         *       "code": "7uZ3fN0yQW2x.bm90IGEgY29kZQ"
         *     }
         */
        Complete: {
            /** @description The completion code. */
            code: string;
        };
        Completed: {
            accountLabel?: string;
            alias?: components["schemas"]["Alias"];
            connectionId: components["schemas"]["Id"];
            connectorId: components["schemas"]["Id"];
            grantedScopes: components["schemas"]["Scopes"];
            /** @description What the connector asks for and the user did not grant. */
            missingScopes: components["schemas"]["Scopes"];
            /** @description Whether the connection outlives its access token. */
            refreshable: boolean;
            /** @constant */
            status: "connected";
        };
        /** @example Gm9sQd1mVxkq3yYhA0b2Zw */
        Id: string;
        /**
         * @example {
         *       "access_token": "ya29.a0AfB_byC",
         *       "connection_config": {},
         *       "expires_at": "2026-11-23T10:30:00Z",
         *       "scopes": [
         *         "https://www.googleapis.com/auth/calendar.readonly"
         *       ],
         *       "token_type": "Bearer"
         *     }
         */
        Token: {
            accessToken: string;
            /** @description What the provider said along with the token and a caller needs, such as the host of an instance. */
            connectionConfig: {
                [key: string]: string;
            };
            /** @description Absent where the provider says nothing of an end. */
            expiresAt?: components["schemas"]["Time"];
            /** @description What was granted. */
            scopes: components["schemas"]["Scopes"];
            /** @constant */
            tokenType: "Bearer";
        };
        /** @description Who acted. Grantry itself has no id. */
        Actor: {
            id?: string;
            kind: components["schemas"]["ActorKind"];
        };
        /**
         * @description The same for every delivery of the same change. Events come at least once.
         * @example Q2hhbmdlLW9uZQ
         */
        EventId: string;
        /**
         * Format: date-time
         * @example 2026-11-23T09:30:00Z
         */
        Time: string;
        /**
         * @description Which of a user's accounts, in the app's words.
         * @example work
         */
        Alias: string;
        /**
         * @description Whose account: `user`, each user their own; `app`, one that an admin connects and everyone in the app uses.
         * @default user
         * @enum {string}
         */
        ConnectorKind: "user" | "app";
        /**
         * @description The subject of the user's JWT, without control characters.
         * @example auth0|5f7c8
         */
        UserId: string;
        /**
         * @description Why a user has to connect again.
         *
         *     - `scopes_changed`: the connector asks for more than the user was asked for
         *     - `missing_scopes`: the caller asks for scopes that were not granted
         *     - `grant_revoked`: the provider no longer accepts the grant
         *     - `refresh_expired`: the access token has expired and nothing is left to refresh it with
         *     - `refresh_outcome_lost`: the provider's last answer was lost, and its refresh token with it
         *     - `account_mismatch`: a refresh brought the tokens of another account
         *     - `connector_changed`: the connector's client or endpoints are not those of the grant
         * @enum {string}
         */
        ReconnectReason: "scopes_changed" | "missing_scopes" | "grant_revoked" | "refresh_expired" | "refresh_outcome_lost" | "account_mismatch" | "connector_changed";
        /**
         * @example [
         *       "calendar.readonly",
         *       "email"
         *     ]
         */
        Scopes: string[];
        /**
         * @description - `client_refused`: the provider does not take the client id and secret
         *     - `request_refused`: it finds the token requests malformed
         *     - `redirected`: the token endpoint answers with a redirect
         * @enum {string}
         */
        Misconfiguration: "client_refused" | "request_refused" | "redirected";
        FieldError: {
            /** @description What to do about it. */
            detail: string;
            /** @description The member or parameter, as the request spells it; nested ones with dots. */
            field: string;
        };
        /** @enum {string} */
        Action: "app.changed" | "app.deleted" | "app.deleting" | "connect.failed" | "connect.user_mismatch" | "connection.connected" | "connection.disconnected" | "connection.reconnect_required" | "connection.reconnected" | "connections.revoked" | "connector.created" | "connector.deleted" | "connector.deleting" | "connector.disabled" | "connector.enabled" | "connector.misconfigured" | "connector.updated" | "credential.bulk_read" | "key.created" | "key.removed" | "token.read" | "user.erased";
        /** @enum {string} */
        ActorKind: "admin" | "user" | "app_key" | "system";
        /**
         * @description Sorts as its time does.
         * @example 001795426200000-Q2hhbmdl
         */
        AuditId: string;
        /** @enum {string} */
        Outcome: "done" | "refused";
        /**
         * @description What the connector's provider asks each user for, such as the name of their shop: the `fields` of
         *     `GET /v1/me/connectors`. A value that is missing or not of its form is told as `config.<name>`.
         * @example {
         *       "shop": "acme"
         *     }
         */
        Told: {
            [key: string]: string;
        };
        /**
         * @description Whether the flow's end goes to the return URL, or to the window that opened a popup.
         * @default redirect
         * @enum {string}
         */
        Display: "redirect" | "popup";
        /** @description Which account to suggest at the provider. Without control characters. */
        LoginHint: string | null;
        /** @description One of the app's return URLs, character for character. */
        ReturnUrl: string;
        /**
         * @example {
         *       "revocation": "revoked",
         *       "status": "disconnected"
         *     }
         */
        Disconnected: {
            /**
             * @description What the provider said: it confirmed, or offers no revocation. Absent while it has not answered,
             *     and when there was nothing to revoke.
             * @enum {string}
             */
            revocation?: "revoked" | "unsupported" | "failed";
            /** @constant */
            status: "disconnected";
        };
        /**
         * @example {
         *       "connector_id": "Gm9sQd1mVxkq3yYhA0b2Zw",
         *       "name": "Google Calendar",
         *       "provider": "google",
         *       "status": "not_connected"
         *     }
         */
        StatusOfConnector: {
            /** @description What the provider calls the account, such as an e-mail address. */
            accountLabel?: string;
            /**
             * @description Every account that is connected, where there may be or were several. What stands beside it is the
             *     default one's.
             */
            accounts?: components["schemas"]["StatusOfAccount"][];
            connectedAt?: components["schemas"]["Time"];
            connectionId?: components["schemas"]["Id"];
            /** @description True while an admin has disabled it. Whatever the status, nothing is handed out then. */
            connectorDisabled?: boolean;
            connectorId: components["schemas"]["Id"];
            endsWithIt?: components["schemas"]["EndsWithIt"];
            /** @description What whoever connects an account is asked for, in `config`; left out where nothing is. */
            fields?: components["schemas"]["ProviderField"][];
            grantedScopes?: components["schemas"]["Scopes"];
            /** @description When an app last read a token, to the hour. */
            lastReadAt?: components["schemas"]["Time"];
            missingScopes?: components["schemas"]["Scopes"];
            name: components["schemas"]["Name"];
            provider: components["schemas"]["Id"];
            reason?: components["schemas"]["ReconnectReason"];
            /** @description Whether the connection outlives its access token. */
            refreshable?: boolean;
            /** @enum {string} */
            status: "not_connected" | "connected" | "reconnect_required";
        };
        StatusOfAccount: {
            /** @description What the provider calls the account, such as an e-mail address. */
            accountLabel?: string;
            alias?: components["schemas"]["Alias"];
            connectedAt?: components["schemas"]["Time"];
            connectionId?: components["schemas"]["Id"];
            endsWithIt?: components["schemas"]["EndsWithIt"];
            grantedScopes?: components["schemas"]["Scopes"];
            /** @description When an app last read a token, to the hour. */
            lastReadAt?: components["schemas"]["Time"];
            missingScopes?: components["schemas"]["Scopes"];
            reason?: components["schemas"]["ReconnectReason"];
            /** @description Whether the connection outlives its access token. */
            refreshable?: boolean;
            /** @enum {string} */
            status: "not_connected" | "connected" | "reconnect_required";
        };
        /**
         * @description What else a disconnect would end: the provider's revocation ends whatever the account has granted to the
         *     connector's client, and these are, or may be, of the same account. In this app; absent where there is none.
         *     Tell the user before they disconnect.
         */
        EndsWithIt: {
            alias?: components["schemas"]["Alias"];
            connectorId: components["schemas"]["Id"];
        }[];
        /**
         * @example {
         *       "asked": "admin",
         *       "example": "acme",
         *       "help": "What stands before .zendesk.com.",
         *       "label": "Subdomain",
         *       "name": "subdomain",
         *       "pattern": "[a-z0-9-]{1,63}",
         *       "required": true
         *     }
         */
        ProviderField: {
            /**
             * @description Who gives the value; an admin for the connector, or each user for a connection.
             * @enum {string}
             */
            asked: "admin" | "user";
            default?: string;
            example: string;
            help: string;
            label: string;
            name: string;
            /** @description What the whole value has to match. */
            pattern?: string;
            required: boolean;
        };
        /** @description What people read. Without control characters; blanks around it are cut off. */
        Name: string;
    };
    responses: {
        /** @description No token is handed out any more. */
        Disconnected: {
            headers: {
                [name: string]: unknown;
            };
            content: {
                "application/json": components["schemas"]["Disconnected"];
            };
        };
        /** @description Connectors in order of their ids. */
        Statuses: {
            headers: {
                [name: string]: unknown;
            };
            content: {
                "application/json": {
                    items: components["schemas"]["StatusOfConnector"][];
                    nextCursor?: components["schemas"]["NextCursor"];
                };
            };
        };
    };
    parameters: never;
    requestBodies: never;
    headers: never;
    pathItems: never;
}
export type $defs = Record<string, never>;
export interface operations {
    listMyAudit: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Entries. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        items: components["schemas"]["MyAuditEntry"][];
                        nextCursor?: components["schemas"]["NextCursor"];
                    };
                };
            };
        };
    };
    beginConnect: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["Begin"];
            };
        };
        responses: {
            /** @description The link. */
            201: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Begun"];
                };
            };
        };
    };
    completeConnect: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["Complete"];
            };
        };
        responses: {
            /** @description The account is connected. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Completed"];
                };
            };
        };
    };
    disconnect: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: components["responses"]["Disconnected"];
        };
    };
    listMyConnectors: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: components["responses"]["Statuses"];
        };
    };
    exchangeToken: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/x-www-form-urlencoded": {
                    /** @description The connector's id. */
                    audience: components["schemas"]["Id"];
                    /** @constant */
                    grantType: "urn:ietf:params:oauth:grant-type:token-exchange";
                    /** @constant */
                    requestedTokenType?: "urn:ietf:params:oauth:token-type:access_token";
                    /** @description What the caller needs, separated by blanks. */
                    scope?: string;
                    /** @description The user's JWT. */
                    subjectToken: string;
                    /** @enum {string} */
                    subjectTokenType: "urn:ietf:params:oauth:token-type:jwt" | "urn:ietf:params:oauth:token-type:id_token";
                } & {
                    [key: string]: string;
                };
            };
        };
        responses: {
            /** @description The token. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        accessToken: string;
                        /** @description In seconds. */
                        expiresIn?: number;
                        /** @constant */
                        issuedTokenType: "urn:ietf:params:oauth:token-type:access_token";
                        scope: string;
                        /** @constant */
                        tokenType: "Bearer";
                    };
                };
            };
        };
    };
    getToken: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": {
                    /** @description Which of the user's accounts; the default one when left out. */
                    alias?: string | null;
                    connectorId: components["schemas"]["Id"];
                    /**
                     * @description For how many seconds the token has to be good at least.
                     * @default 60
                     */
                    minTtl?: number | null;
                    /**
                     * @description What the caller needs. Where all of it was granted, a connector that asks for more by now
                     *     is no reason to refuse.
                     */
                    scopes?: string[] | null;
                    /**
                     * @description Whose token. Left out where `On-Behalf-Of` says so, and for the account that everyone in the
                     *     app uses.
                     */
                    userId?: string | null;
                };
            };
        };
        responses: {
            /** @description The token. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Token"];
                };
            };
        };
    };
    eraseUser: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Erased. */
            202: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        /** @description How many connections this call has ended. */
                        disconnected: number;
                    };
                };
            };
        };
    };
    listConnectorsOfUser: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: components["responses"]["Statuses"];
        };
    };
    beginConnectForUser: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["Begin"];
            };
        };
        responses: {
            /** @description The link. */
            201: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Begun"];
                };
            };
        };
    };
    disconnectUser: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: components["responses"]["Disconnected"];
        };
    };
}
