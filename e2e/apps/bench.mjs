// The app of the load generator's scenarios, as its help describes it.
import { benchEvents } from "../../bench/apps/events.mjs";
import { serve } from "./serve.mjs";

serve(({ io }) => benchEvents(io));
