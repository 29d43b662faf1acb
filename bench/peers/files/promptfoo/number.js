// Right where the last number of the answer is the target.
module.exports = (output, { vars }) => {
  const numbers = output.match(/-?[0-9][0-9,]*(\.[0-9]+)?/g);
  return numbers !== null && Number(numbers.at(-1).replaceAll(",", "")) === Number(vars.target);
};
