/** The output of a child process, line by line, kept for the case that a test fails. */
export class Log {
  lines = [];

  constructor(name, child) {
    this.name = name;
    for (const stream of [child.stdout, child.stderr]) {
      let rest = "";
      stream.setEncoding("utf8");
      stream.on("data", (chunk) => {
        const lines = (rest + chunk).split("\n");
        rest = lines.pop();
        this.lines.push(...lines);
      });
      stream.on("end", () => rest && this.lines.push(rest));
    }
  }

  get text() {
    return this.lines.map((line) => `  ${this.name} | ${line}`).join("\n");
  }
  count(pattern) {
    return this.lines.filter((line) => pattern.test(line)).length;
  }
}
