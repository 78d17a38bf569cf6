#!/bin/sh
# From an OAuth client at a provider to an access token and back, with curl.
# Runs against `make up`; GRANTRY_URL, ISSUER_URL and PROVIDER_URL name another stack.
set -eu

grantry=${GRANTRY_URL:-http://10ca1a91.execute-api.localhost:4566}
issuer=${ISSUER_URL:-http://127.0.0.1:4570}
provider=${PROVIDER_URL:-http://127.0.0.1:4571}
workspace=${WORKSPACE:-curl-$$}
return_url=https://shop.example.com/connected

# call METHOD URL [BEARER [JSON]]: the answer, or a message and the end of this script.
call() {
  set -- "$1" "$2" "${3:+Authorization: Bearer $3}" "${4:-}"
  curl --silent --show-error --fail-with-body --request "$1" "$2" \
    --header "$3" ${4:+--header 'Content-Type: application/json' --data "$4"}
}

# member NAME: that member of the JSON on standard input. A real program has a parser.
member() { sed -n "s/.*\"$1\":\"\([^\"]*\)\".*/\1/p" | grep .; }

# jwt SUBJECT CLAIMS: the platform's issuer signs somebody in. The local one signs what it is asked to.
jwt() { call POST "$issuer/_mint" '' "{\"sub\": \"$1\", \"claims\": $2}" | member token; }

# --- The admin: registers the app, an API key for its back end, and a connector ---

admin=$(jwt root "{\"workspace_id\": \"$workspace\", \"role\": \"owner\", \"plan\": \"builder\"}")

call PUT "$grantry/v1/apps/shop" "$admin" "{\"name\": \"Shop\", \"return_urls\": [\"$return_url\"]}" >/dev/null
key=$(call POST "$grantry/v1/apps/shop/keys" "$admin" '{"name": "backend"}' | member key)
connector=$(call POST "$grantry/v1/connectors" "$admin" "{
  \"name\": \"Files\", \"provider\": \"custom\",
  \"client_id\": \"demo-client\", \"client_secret\": \"demo-secret\", \"scopes\": [\"read\"],
  \"config\": {
    \"authorize_url\": \"$provider/authorize\", \"token_url\": \"$provider/token\",
    \"revoke_url\": \"$provider/revoke\", \"userinfo_url\": \"$provider/userinfo\"
  }
}" | member id)
echo "The connector is $connector."

# --- The app's page, where Alice is signed in: begins to connect ---

alice=$(jwt alice "{\"workspace_id\": \"$workspace\", \"app_id\": \"shop\"}")

link=$(call POST "$grantry/v1/me/connections" "$alice" \
  "{\"connector_id\": \"$connector\", \"return_url\": \"$return_url\"}" | member connect_url)

# --- Alice's browser: follows the link, agrees at the provider and comes back. An app only
#     sends it there; this is how a script stands in for a person ---

# header NAME: that header of the response on standard input.
header() { tr -d '\r' | grep -i "^$1:" | sed 's/^[^:]*: *//'; }
# attribute TEXT: what follows in quotes. Pages of the local provider are known.
attribute() { sed -n "s/.*$1=\"\([^\"]*\)\".*/\1/p" | grep -m 1 .; }
browse() { curl --silent --show-error --include "$@"; }

away=$(browse "$link")
cookie=$(echo "$away" | header set-cookie | cut -d ';' -f 1)
page=$(browse "$(echo "$away" | header location)")
callback=$(browse "$provider$(echo "$page" | attribute action)" \
  --data-urlencode "request=$(echo "$page" | attribute 'name="request" value')" \
  --data-urlencode 'account=alice@example.com' --data-urlencode 'decision=connect' | header location)
back=$(browse "$callback" --header "Cookie: $cookie" | header location)
echo "Alice is back at ${back%%code=*}code=…"

# --- The app's page at the return URL: completes, with the JWT of who is signed in now ---

code=$(echo "$back" | sed 's/.*[?&]code=//; s/&.*//')
call POST "$grantry/v1/me/connections/complete" "$alice" "{\"code\": \"$code\"}" >/dev/null
echo "Alice is connected."

# --- The app's back end: fetches a fresh token whenever it needs one ---

look_up="{\"connector_id\": \"$connector\", \"user_id\": \"alice\"}"
token=$(call POST "$grantry/v1/tokens" "$key" "$look_up" | member access_token)
account=$(call GET "$provider/userinfo" "$token" | member sub)
echo "The provider says the token is of $account."

# --- Alice disconnects ---

call DELETE "$grantry/v1/me/connections/$connector" "$alice" >/dev/null
code=$(call POST "$grantry/v1/tokens" "$key" "$look_up" 2>/dev/null | member code)
echo "A look-up now answers $code."
test "$code" = not_connected
