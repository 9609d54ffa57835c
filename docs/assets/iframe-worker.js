// Browsers start no worker for a page that is opened as a file, and search runs in one. Here the script of a worker runs
// in a hidden frame instead, with the same messages.
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(address) {
      super()
      this.frame = document.createElement("iframe")
      this.frame.hidden = true
      document.body.append(this.frame)
      const scope = this.frame.contentWindow
      scope.document.open()
      scope.document.close()
      scope.postMessage = data => this.dispatchEvent(new MessageEvent("message", { data }))
      const script = scope.document.createElement("script")
      script.src = address
      this.ready = new Promise(resolve => script.addEventListener("load", () => resolve(scope)))
      scope.document.body.append(script)
    }

    postMessage(data) {
      this.ready.then(scope => scope.dispatchEvent(new MessageEvent("message", { data })))
    }

    terminate() {
      this.frame.remove()
    }
  }
}
