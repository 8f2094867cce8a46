// Browsers start no worker for a page that was opened as a file. Search needs one: here its script runs in a hidden
// frame, which is told and answers as a worker is. Material looks for the name.
if (location.protocol === "file:") {
  window.IFrameWorker = class extends EventTarget {
    constructor(url) {
      super()
      this.onmessage = null
      this.frame = Object.assign(document.createElement("iframe"), { hidden: true, title: "search" })
      document.body.append(this.frame)
      const inner = this.frame.contentWindow
      inner.postMessage = (data) => this.answer(data)
      this.ready = this.load(url)
      inner.importScripts = (...urls) => urls.reduce((last, next) => last.then(() => this.load(next)), Promise.resolve())
    }

    load(url) {
      return new Promise((resolve, reject) => {
        const script = this.frame.contentDocument.createElement("script")
        Object.assign(script, { src: new URL(url, location.href).href, onload: resolve, onerror: reject })
        this.frame.contentDocument.head.append(script)
      })
    }

    answer(data) {
      const message = new MessageEvent("message", { data })
      this.onmessage?.(message)
      this.dispatchEvent(message)
    }

    async postMessage(data) {
      await this.ready
      const { MessageEvent } = this.frame.contentWindow
      this.frame.contentWindow.dispatchEvent(new MessageEvent("message", { data }))
    }

    terminate() {
      this.frame.remove()
    }
  }
  window.Worker = window.IFrameWorker
}
