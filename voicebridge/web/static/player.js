// The recording, the pictures of the turns and the words move together: one position, shown everywhere.
const audio = document.getElementById("audio");
const play = document.getElementById("play");
const seek = document.getElementById("seek");
const head = document.getElementById("head");
const now = document.getElementById("now");
const turns = [...document.querySelectorAll(".turn[data-begin]")].map((element) => ({
  element,
  begin: Number(element.dataset.begin),
  end: Number(element.dataset.end ?? element.dataset.begin),
  picture: element.querySelector("svg.waterfall"),
}));
const length = Number(seek.max);

const clock = (s) => `${Math.floor(s / 60)}:${(s % 60).toFixed(1).padStart(4, "0")}`;
const share = (at, from, to) => (to <= from ? 0 : Math.min(1, Math.max(0, (at - from) / (to - from))));

// Where a moment lies on a turn's picture, in percent: the same two straight pieces as web/scale.py draws by.
function place(picture, at) {
  const { begin, bend, end, bendAt } = picture.dataset;
  const split = Number(bendAt);
  return at <= Number(bend)
    ? split * share(at, Number(begin), Number(bend))
    : split + (100 - split) * share(at, Number(bend), Number(end));
}

function show(at) {
  head.setAttribute("x1", (1000 * at) / length);
  head.setAttribute("x2", (1000 * at) / length);
  seek.value = at;
  seek.setAttribute("aria-valuetext", clock(at));
  now.textContent = clock(at);
  for (const { element, begin, end, picture } of turns) {
    const inside = at >= begin && at <= end;
    element.classList.toggle("now", inside && at > 0);
    if (!picture) continue;
    const visible = at >= Number(picture.dataset.begin) && at <= Number(picture.dataset.end) && at > 0;
    const x = visible ? `${place(picture, at)}%` : "-1%";
    const line = picture.querySelector(".playhead");
    line.setAttribute("x1", x);
    line.setAttribute("x2", x);
  }
}

function follow() {
  show(audio.currentTime);
  if (!audio.paused) requestAnimationFrame(follow);
}

function jump(at) {
  audio.currentTime = at;
  show(at);
}

play.addEventListener("click", () => (audio.paused ? audio.play() : audio.pause()));
audio.addEventListener("play", () => {
  play.setAttribute("aria-pressed", "true");
  play.setAttribute("aria-label", "Pause");
  follow();
});
audio.addEventListener("pause", () => {
  play.setAttribute("aria-pressed", "false");
  play.setAttribute("aria-label", "Play");
});
audio.addEventListener("seeked", () => show(audio.currentTime));
seek.addEventListener("input", () => jump(Number(seek.value)));
document.getElementById("speed").addEventListener("change", (event) => {
  audio.playbackRate = Number(event.target.value);
});
for (const button of document.querySelectorAll(".seek")) {
  button.addEventListener("click", () => {
    jump(Number(button.dataset.to));
    audio.play();
  });
}
// A click into a turn's picture goes to that moment.
for (const { picture } of turns) {
  picture?.addEventListener("click", (event) => {
    const box = picture.getBoundingClientRect();
    const x = (100 * (event.clientX - box.left)) / box.width;
    const split = Number(picture.dataset.bendAt);
    const [begin, bend, end] = ["begin", "bend", "end"].map((name) => Number(picture.dataset[name]));
    jump(x <= split ? begin + ((bend - begin) * x) / split : bend + ((end - bend) * (x - split)) / (100 - split));
  });
}
// Space plays and pauses, wherever nothing else wants the key.
document.addEventListener("keydown", (event) => {
  if (event.key === " " && (event.target === document.body || event.target === seek || event.target.id === "main")) {
    event.preventDefault();
    play.click();
  }
});
play.disabled = false;
show(0);
