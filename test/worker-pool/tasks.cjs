module.exports = (number) => number + 1
module.exports.triple = number => number * 3
