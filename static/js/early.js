// Before the first paint: says that scripts run, so that what needs none can hide.
document.documentElement.classList.add("js");
