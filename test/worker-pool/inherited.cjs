// A module whose export is an object of a class: its functions are those of the class.
class Tasks {
  double (n) { return n * 2 }
}

module.exports = new Tasks()
