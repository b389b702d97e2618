// Certificates for tests, made by openssl: an authority, and what it signs.
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const openssl = (...args) => execFileSync("openssl", args, { stdio: ["ignore", "pipe", "pipe"] });

/** An authority with a folder of its own. */
export class Authority {
  constructor() {
    this.folder = mkdtempSync(join(tmpdir(), "trunkline-e2e-tls-"));
    this.keyFile = this.#key("authority");
    this.file = join(this.folder, "authority.pem");
    openssl(
      "req",
      "-x509",
      "-new",
      "-key",
      this.keyFile,
      "-days",
      "30",
      "-subj",
      "/CN=test authority",
      "-out",
      this.file,
    );
  }

  get pem() {
    return readFileSync(this.file, "utf8");
  }

  #key(name) {
    const file = join(this.folder, `${name}.key`);
    openssl("ecparam", "-genkey", "-name", "prime256v1", "-noout", "-out", file);
    return file;
  }

  /** A certificate for these names; `days` may be negative. */
  sign(name, { names = ["localhost"], days = 30 } = {}) {
    const keyFile = this.#key(name);
    const [request, extensions, certFile] = ["csr", "ext", "pem"].map((end) => join(this.folder, `${name}.${end}`));
    const alternatives = names.map((one) => (/^[\d.]+$/.test(one) ? `IP:${one}` : `DNS:${one}`));
    writeFileSync(extensions, `subjectAltName=${alternatives.join(",")}\n`);
    openssl("req", "-new", "-key", keyFile, "-subj", `/CN=${name}`, "-out", request);
    const by = ["-CA", this.file, "-CAkey", this.keyFile, "-CAcreateserial"];
    openssl("x509", "-req", "-in", request, ...by, "-days", String(days), "-extfile", extensions, "-out", certFile);
    return { certFile, keyFile, cert: readFileSync(certFile, "utf8"), key: readFileSync(keyFile, "utf8") };
  }

  remove() {
    rmSync(this.folder, { recursive: true, force: true });
  }
}
