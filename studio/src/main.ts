import { mount } from "svelte";
import App from "./App.svelte";
import "./tokens.css";
import "./base.css";

const target = document.getElementById("studio");
if (target === null) throw new Error("index.html has no #studio");
mount(App, { target });
