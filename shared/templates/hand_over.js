(function () {
  "use strict";
  var end = document.getElementById("end");
  if (window.opener && !window.opener.closed) {
    window.opener.postMessage(JSON.parse(end.dataset.message), end.dataset.origin);
    window.close();
  } else {
    window.location.replace(end.href);
  }
})();
