/** A page as one file: its answers stand in it (lib/embedded.ts), and there is no server. */

import { mount } from "svelte";
import Saved from "./Saved.svelte";
import "./tokens.css";
import "./base.css";

const target = document.getElementById("studio");
if (target === null) throw new Error("the file has no #studio");
mount(Saved, { target });
