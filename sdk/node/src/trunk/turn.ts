/** What waits for the end of the present turn of the event loop. */

type Action = () => void;

/** The turn of one trunk. */
export class Turn {
  private postponed: Action[] = [];

  get hasPostponed(): boolean {
    return this.postponed.length > 0;
  }

  /** Postpones an action to the end of this turn, after everything that the app does in the turn. */
  postpone(action: Action): void {
    if (this.postponed.length === 0) {
      setImmediate(() => {
        const actions = this.postponed;
        this.postponed = [];
        for (const each of actions) each();
      });
    }
    this.postponed.push(action);
  }
}
